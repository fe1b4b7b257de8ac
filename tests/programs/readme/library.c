#include <atrous/atrous_c.h>
#include <stdio.h>

int main(void) {
  atrous_model* model = NULL;
  atrous_session* session = NULL;
  atrous_picture* photo = NULL;
  atrous_result* result = NULL;
  int failed = atrous_model_load("default", NULL, &model) || atrous_session_new(model, NULL, &session) ||
               atrous_picture_read("street.png", &photo);
  if (!failed) {
    const atrous_image image = atrous_picture_image(photo);
    failed = atrous_segment(session, &image, NULL, &result);
  }
  if (!failed) {
    atrous_model_info of_model = {.size = sizeof of_model};
    atrous_result_info info = {.size = sizeof info};
    atrous_model_get_info(model, &of_model);
    atrous_result_get_info(result, &info);
    const atrous_image labels = {info.labels, info.width, info.height, 1, 0};
    failed = atrous_png_write("labels.png", &labels, of_model.palette, (size_t)of_model.classes);
  }
  if (failed) fprintf(stderr, "%s\n", atrous_last_error());
  atrous_result_free(result);
  atrous_picture_free(photo);
  atrous_session_free(session);
  atrous_model_free(model);
  return failed;
}
