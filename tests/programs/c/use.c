/* Every function of the interface for C, from a program in C99: usage: use PHOTO. */
#include <atrous/atrous_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

/* What is to hold. */
static void check(int holds, const char* what, int line) {
  if (holds) return;
  fprintf(stderr, "line %d: %s (last error: %s)\n", line, what, atrous_last_error());
  ++failures;
}
#define CHECK(condition) check((condition) != 0, #condition, __LINE__)

static void* whole_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  void* bytes = malloc(1 << 20);
  *size = file && bytes ? fread(bytes, 1, 1 << 20, file) : 0;
  if (file) fclose(file);
  return bytes;
}

static int never(void* user, uint64_t bytes, uint64_t total) {
  (void)bytes;
  (void)total;
  *(int*)user = 1;
  return 1;
}

static void use_model(const atrous_model* model, atrous_session* session, const atrous_image* photo) {
  atrous_model_info of_model = {.size = sizeof of_model};
  CHECK(atrous_model_get_info(model, &of_model) == ATROUS_OK);
  CHECK(of_model.task == ATROUS_SEMANTIC && of_model.classes > 1);
  CHECK(atrous_model_class_name(model, 0) != NULL);
  CHECK(atrous_model_class_name(model, of_model.classes) == NULL);

  const atrous_segment_options options = {
      .size = sizeof options, .want = ATROUS_CONFIDENCE | ATROUS_PROBABILITIES | ATROUS_LOGITS};
  atrous_result* result = NULL;
  CHECK(atrous_segment(session, photo, &options, &result) == ATROUS_OK);
  atrous_result_info info = {.size = sizeof info};
  CHECK(atrous_result_get_info(result, &info) == ATROUS_OK);
  CHECK(info.width == photo->width && info.height == photo->height);
  CHECK(info.confidence && info.probabilities && info.logits);
  CHECK(info.instances == 0);
  atrous_instance instance = {.size = sizeof instance};
  uint8_t mask[1];
  CHECK(atrous_result_get_instance(result, 0, &instance) == ATROUS_INVALID_ARGUMENT);
  CHECK(atrous_result_get_mask(result, 0, 0, mask, 1) == ATROUS_INVALID_ARGUMENT);

  /* The label is the most probable class, and its probability the confidence. */
  const size_t pixels = (size_t)info.width * (size_t)info.height, classes = (size_t)of_model.classes;
  size_t wrong = 0;
  for (size_t i = 0; i < pixels; ++i) {
    const float* of_pixel = info.probabilities + i * classes;
    for (size_t c = 0; c < classes; ++c) wrong += of_pixel[c] > of_pixel[info.labels[i]];
    wrong += info.confidence[i] - of_pixel[info.labels[i]] > 1e-5F;
  }
  CHECK(wrong == 0);

  for (int what = ATROUS_DRAW_MASK; what <= ATROUS_DRAW_INPUT; ++what) {
    const atrous_draw_options style = {.size = sizeof style, .alpha = 0.75, .label = 1};
    atrous_picture* drawn = NULL;
    CHECK(atrous_draw(result, (atrous_drawing)what, photo, &style, &drawn) == ATROUS_OK);
    const atrous_image image = atrous_picture_image(drawn);
    CHECK(image.width == info.width && image.height == info.height);
    CHECK(image.channels == (what == ATROUS_DRAW_CUTOUT ? 4 : what == ATROUS_DRAW_CONFIDENCE ? 1 : 3));
    atrous_picture_free(drawn);
  }

  const atrous_image labels = {info.labels, info.width, info.height, 1, 0};
  atrous_bytes* png = NULL;
  CHECK(atrous_png_encode(&labels, of_model.palette, classes, &png) == ATROUS_OK);
  size_t size = 0;
  const void* data = atrous_bytes_data(png, &size);
  CHECK(size > 8 && memcmp(data, "\x89PNG", 4) == 0);
  CHECK(atrous_png_write("/no/such/folder/labels.png", &labels, NULL, 0) == ATROUS_IO);
  atrous_bytes_free(png);
  atrous_result_free(result);

  /* Mirrored too, and behind a CRF; in tiles; the CRF alone, which leaves probabilities that add up to 1. */
  const double scales[] = {0.5, 1};
  const atrous_protocol_options twice = {.size = sizeof twice, .scales = scales, .scale_count = 2, .flip = 1};
  const atrous_crf_options crf = {.size = sizeof crf, .iterations = 2};
  const atrous_segment_options refined = {.size = sizeof refined,
                                          .want = ATROUS_PROBABILITIES,
                                          .crf = 1,
                                          .crf_options = &crf,
                                          .protocol = &twice};
  atrous_result* sharp = NULL;
  CHECK(atrous_segment(session, photo, &refined, &sharp) == ATROUS_OK);
  atrous_result_info of_sharp = {.size = sizeof of_sharp};
  CHECK(atrous_result_get_info(sharp, &of_sharp) == ATROUS_OK);
  float* q = malloc(pixels * classes * sizeof *q);
  if (q && of_sharp.probabilities) {
    memcpy(q, of_sharp.probabilities, pixels * classes * sizeof *q);
    CHECK(atrous_crf(photo, q, of_model.classes, NULL) == ATROUS_OK);
    double sum = 0;
    for (size_t c = 0; c < classes; ++c) sum += q[c];
    CHECK(sum > 0.999 && sum < 1.001);
  }
  free(q);
  atrous_result_free(sharp);
  const atrous_segment_options in_tiles = {.size = sizeof in_tiles, .tile = 200, .overlap = 20};
  CHECK(atrous_segment(session, photo, &in_tiles, &sharp) == ATROUS_OK);
  CHECK(atrous_result_get_info(sharp, &of_sharp) == ATROUS_OK);
  CHECK(of_sharp.width == photo->width && of_sharp.input_width == 200);
  atrous_result_free(sharp);

  float* input = calloc(2 * 32 * 32 * 3, sizeof *input);
  atrous_result* batch[2] = {NULL, NULL};
  CHECK(atrous_segment_batch(session, input, 2, 32, 32, NULL, batch) == ATROUS_OK);
  for (int i = 0; i < 2; ++i) atrous_result_free(batch[i]);
  free(input);

  atrous_bytes* json = NULL;
  const atrous_evaluate_options how = {.size = sizeof how, .limit = 1};
  CHECK(atrous_evaluate(model, "voc", "/no/such/folder", &how, &json) == ATROUS_IO);
  CHECK(json == NULL);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  CHECK(strlen(atrous_version()) >= 5);
  CHECK(strcmp(atrous_last_error(), "") == 0);
  CHECK(strcmp(atrous_status_name(ATROUS_MALFORMED), "malformed") == 0);

  size_t size = 0;
  void* file = whole_file(argv[1], &size);
  atrous_picture *photo = NULL, *again = NULL;
  CHECK(atrous_picture_read(argv[1], &photo) == ATROUS_OK);
  CHECK(atrous_picture_decode(file, size, "photo", &again) == ATROUS_OK);
  const atrous_image image = atrous_picture_image(photo), other = atrous_picture_image(again);
  CHECK(image.width == other.width && memcmp(image.pixels, other.pixels, 3 * (size_t)image.width) == 0);
  uint8_t rgb[6];
  CHECK(atrous_voc_palette(2, rgb) == ATROUS_OK && rgb[3] == 128 && rgb[4] == 0);

  atrous_devices* devices = NULL;
  CHECK(atrous_devices_list(&devices) == ATROUS_OK);
  CHECK(atrous_devices_count(devices) >= 1);
  atrous_device_info processor = {.size = sizeof processor};
  CHECK(atrous_devices_get(devices, 0, &processor) == ATROUS_OK);
  CHECK(strcmp(processor.device, "cpu") == 0 && processor.threads >= 1);
  CHECK((atrous_devices_count(devices) == 1) == (strlen(atrous_devices_why_none(devices)) > 0));
  atrous_devices_free(devices);

  atrous_model* model = NULL;
  int called = 0;
  const atrous_model_options offline = {.size = sizeof offline, .offline = 1, .progress = never, .user = &called};
  CHECK(atrous_model_load("no such model", &offline, &model) == ATROUS_IO && model == NULL);
  CHECK(atrous_model_load_memory(file, size, "a photo", NULL, &model) == ATROUS_UNSUPPORTED && model == NULL);
  CHECK(called == 0);
  CHECK(atrous_model_load("default", &offline, &model) == ATROUS_OK);
  atrous_session* session = NULL;
  const atrous_session_options one_thread = {.size = sizeof one_thread, .threads = 1};
  CHECK(atrous_session_new(model, &one_thread, &session) == ATROUS_OK);
  if (model && session) use_model(model, session, &image);

  atrous_model_free(model);
  atrous_session_free(session);
  atrous_picture_free(photo);
  atrous_picture_free(again);
  free(file);
  if (failures == 0) puts("every function of the interface for C was called");
  return failures != 0;
}
