/* atrous for C, and for whatever calls C: segmentation from published checkpoints.
 *
 *   atrous_model* model = NULL;
 *   atrous_session* session = NULL;
 *   atrous_picture* photo = NULL;
 *   atrous_result* result = NULL;
 *   atrous_model_load("deeplabv3_resnet101", NULL, &model);
 *   atrous_session_new(model, NULL, &session);
 *   atrous_picture_read("dog.jpg", &photo);
 *   atrous_image image = atrous_picture_image(photo);
 *   atrous_segment(session, &image, NULL, &result);
 *
 * Every call that can fail returns a status, 0 for success; atrous_last_error() is the sentence. What a call
 * makes is given through its last argument, which is NULL after a failure, and freed by the function of its
 * name, which takes NULL too. Nothing else is ever to be freed: all other pointers that are given out belong
 * to a handle and live as long as it. Handles may be freed in any order: a session keeps its model.
 *
 * Structs of options begin with their size, so that they may grow: `atrous_segment_options o = {.size =
 * sizeof o};` sets it, and zeros elsewhere, which are the defaults; a NULL pointer stands for such a struct.
 * The library reads no more than that size says. Structs that are filled in begin with it too.
 * Fields called reserved are 0.
 *
 * Models, results and pictures do not change: any number of threads may use one. A session is one thread's
 * at a time; a call that finds it in use fails. Text is UTF-8 and ends in a zero. The library never prints,
 * exits or aborts. Functions and fields that are here stay as they are while the library is called
 * libatrous.so.0. */
#ifndef ATROUS_C_H
#define ATROUS_C_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ATROUS_C_API __attribute__((visibility("default")))
#else
#define ATROUS_C_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version and errors */

/* "0.1.0" */
ATROUS_C_API const char* atrous_version(void);

typedef enum atrous_status {
  ATROUS_OK = 0,
  ATROUS_INVALID_ARGUMENT = 1, /* the caller asked for something that cannot be */
  ATROUS_IO = 2,               /* a file could not be opened, read, written, renamed or downloaded */
  ATROUS_MALFORMED = 3,        /* a file is not what its format says */
  ATROUS_UNSUPPORTED = 4,      /* well-formed, but outside what atrous does */
  ATROUS_LIMIT = 5,            /* a size, count or memory cap would be exceeded */
  ATROUS_MISMATCH = 6,         /* a checkpoint does not fit the network it claims to be */
  ATROUS_NOT_FINITE = 7,       /* a network's values overflowed */
  ATROUS_DEVICE = 8,           /* a device failed at work that it had accepted */
  ATROUS_STOPPED = 9           /* the caller's own function ended it */
} atrous_status;

/* The sentence of this thread's last failure, until its next one; "" before the first. */
ATROUS_C_API const char* atrous_last_error(void);

/* "invalid_argument"; "unknown" for a number that is none. */
ATROUS_C_API const char* atrous_status_name(int status);

/* ---- bytes that the library made: files in memory */

typedef struct atrous_bytes atrous_bytes;
ATROUS_C_API const void* atrous_bytes_data(const atrous_bytes*, size_t* size);
ATROUS_C_API void atrous_bytes_free(atrous_bytes*);

/* ---- pictures */

/* The caller's pixels, 8 bits a sample: grey (1), RGB (3) or RGBA (4 channels). Row y begins at
 * pixels + y * row_bytes. */
typedef struct atrous_image {
  const uint8_t* pixels;
  int32_t width, height, channels;
  size_t row_bytes; /* 0: width * channels */
} atrous_image;

/* A picture that the library made. */
typedef struct atrous_picture atrous_picture;
ATROUS_C_API atrous_image atrous_picture_image(const atrous_picture*);
ATROUS_C_API void atrous_picture_free(atrous_picture*);

/* JPEG, PNG, WebP, BMP or PNM as RGB, turned upright as EXIF says. `name` stands for the file in errors.
 * IO, MALFORMED, UNSUPPORTED, LIMIT. */
ATROUS_C_API atrous_status atrous_picture_read(const char* path, atrous_picture** out);
ATROUS_C_API atrous_status atrous_picture_decode(const void* file, size_t size, const char* name,
                                                 atrous_picture** out);

/* A PNG. With a palette, 3 * colours bytes of red, green and blue, the picture's one channel holds indices
 * into it, as label maps do: an indexed PNG. Without, `palette` is NULL and `colours` 0. The file appears
 * whole or not at all. INVALID_ARGUMENT, for an index without a colour too; IO. */
ATROUS_C_API atrous_status atrous_png_encode(const atrous_image*, const uint8_t* palette, size_t colours,
                                             atrous_bytes** out);
ATROUS_C_API atrous_status atrous_png_write(const char* path, const atrous_image*, const uint8_t* palette,
                                            size_t colours);

/* PASCAL VOC's colours of so many classes, 1 to 256: rgb has room for 3 * colours bytes. */
ATROUS_C_API atrous_status atrous_voc_palette(size_t colours, uint8_t* rgb);

/* ---- devices */

/* What networks can run on, as it was when the list was made. */
typedef struct atrous_devices atrous_devices;

typedef struct atrous_device_info {
  size_t size;
  const char* device;    /* for atrous_model_options: "cpu", "cuda:0" */
  const char* name;      /* "NVIDIA H200"; of the processor "" */
  const char* kind;      /* of the processor its instruction sets, the best first, "avx512, avx2, sse4";
                            "compute capability 9.0" */
  uint64_t memory_bytes; /* of a GPU; of the processor 0 */
  uint64_t free_bytes;
  int32_t threads; /* of the processor: as many as the process may use; of a GPU 0 */
  int32_t reserved;
} atrous_device_info;

/* The processor, which is always there, then the NVIDIA GPUs. That there are none is no failure: LIMIT. */
ATROUS_C_API atrous_status atrous_devices_list(atrous_devices** out);
ATROUS_C_API int32_t atrous_devices_count(const atrous_devices*);

/* Fills in what `size` has room for. INVALID_ARGUMENT for an index outside 0 .. count - 1. */
ATROUS_C_API atrous_status atrous_devices_get(const atrous_devices*, int32_t index, atrous_device_info*);

/* Why there are no GPUs, in a sentence; "" where there are some. */
ATROUS_C_API const char* atrous_devices_why_none(const atrous_devices*);
ATROUS_C_API void atrous_devices_free(atrous_devices*);

/* ---- models */

typedef struct atrous_model atrous_model;

typedef struct atrous_model_options {
  size_t size;
  const char* device;    /* "cpu", "cuda", "cuda:1"; NULL: "cpu" */
  const char* precision; /* "fp32", "bf16", "int8" on the processor, "fp32", "tf32", "fp16" on a device.
                            NULL: int8 of a checkpoint calibrated for it, otherwise fp32 */
  const char* arch;      /* what weights do not say, "os=16,rates=6,12,18"; NULL: the file's or the usual */
  const char* weights;   /* which of several networks in a file: the prefix of its names; NULL: the usual */
  const char* name;      /* of variants with the same weights, the one to take; NULL: the file's name says */
  int32_t threads;       /* for making the model ready; 0: as many as the process may use */
  int32_t offline;       /* not 0: a published checkpoint that is not here is IO, not downloaded */
  /* Called while a checkpoint is downloaded, from the calling thread; total is 0 while unknown. Not 0 ends
   * the download, which the next one goes on with: STOPPED. */
  int (*progress)(void* user, uint64_t bytes, uint64_t total);
  void* user;
} atrous_model_options;

/* name_or_path: "default", the network of street scenes that is compiled into the library; the name of a
 * published checkpoint, "deeplabv3_resnet101", which is downloaded once by the system's curl into
 * $ATROUS_CACHE, else $XDG_CACHE_HOME/atrous, else ~/.cache/atrous, and its sha256 checked; "seeded:NETWORK",
 * random weights; or the path of a .pth, .safetensors or .caffemodel file, or of a folder with one.
 * IO, MALFORMED, UNSUPPORTED, MISMATCH, LIMIT, INVALID_ARGUMENT, STOPPED. */
ATROUS_C_API atrous_status atrous_model_load(const char* name_or_path, const atrous_model_options*,
                                             atrous_model** out);

/* A checkpoint in memory, which is not needed afterwards. `name` stands for the file in errors. */
ATROUS_C_API atrous_status atrous_model_load_memory(const void* file, size_t size, const char* name,
                                                    const atrous_model_options*, atrous_model** out);
ATROUS_C_API void atrous_model_free(atrous_model*);

typedef enum atrous_task { ATROUS_SEMANTIC = 0, ATROUS_INSTANCES = 1 } atrous_task;

typedef struct atrous_model_info {
  size_t size;
  const char* architecture; /* "deeplabv3_resnet101" */
  atrous_task task;
  int32_t classes;
  int32_t logits;         /* channels of the logits: as many as classes, or 1 for both of two */
  int32_t background;     /* the class that overlays leave as the photo is; -1: none */
  int32_t has_masks;      /* of instances: whether they have masks, or boxes alone */
  const uint8_t* palette; /* 3 * classes bytes: red, green, blue */
  float mean[3]; /* normalised input is (sample * range / 255 - mean) / std, in the order's channels */
  float std[3];
  int32_t range;       /* 1 or 255 */
  int32_t bgr;         /* whether the first channel is blue */
  size_t weight_bytes; /* as packed for computing */
} atrous_model_info;

/* Fills in what `size` has room for. INVALID_ARGUMENT. */
ATROUS_C_API atrous_status atrous_model_get_info(const atrous_model*, atrous_model_info*);

/* "dog"; NULL for an index that is none. */
ATROUS_C_API const char* atrous_model_class_name(const atrous_model*, int32_t index);

/* ---- sessions: the memory of a run */

typedef struct atrous_session atrous_session;

typedef struct atrous_session_options {
  size_t size;
  int32_t threads;       /* at most; 0: as many as the process may use, or as OMP_NUM_THREADS says */
  uint64_t memory_limit; /* bytes, weights included; 0: none */
} atrous_session_options;

ATROUS_C_API atrous_status atrous_session_new(const atrous_model*, const atrous_session_options*,
                                              atrous_session** out);
ATROUS_C_API void atrous_session_free(atrous_session*);

/* ---- a dense CRF: labels that follow the photo's edges */

/* Each pixel is drawn towards those that are near (the Gaussian kernel), and those that are near and of like
 * colour (the bilateral one): a weight, and standard deviations in pixels (xy) and in levels of colour of 0
 * to 255 (rgb), 0.01 to 1000000. 0 stands for the network's where some are published, otherwise for 3, 1; 4,
 * 67, 3; 10 iterations. A weight below 0 leaves its kernel out, iterations below 0 leave the probabilities as
 * they are. */
typedef struct atrous_crf_options {
  size_t size;
  double gaussian_weight, gaussian_xy;
  double bilateral_weight, bilateral_xy, bilateral_rgb;
  int32_t iterations; /* at most 1000 */
  /* Of atrous_crf() alone; with a session the session's hold. */
  int32_t logits;  /* not 0: the values are logits, whose softmax is the probabilities */
  int32_t threads; /* 0: as many as the process may use */
  int32_t reserved;
  uint64_t memory_limit; /* bytes beside the arguments; 0: none */
} atrous_crf_options;

/* The same behind any network, of this library or not. values: photo->height x photo->width x classes floats,
 * none below 0 (logits: finite), of two classes or more; the sharpened probabilities take their place. After
 * a failure they are what they were. INVALID_ARGUMENT, LIMIT. */
ATROUS_C_API atrous_status atrous_crf(const atrous_image* photo, float* values, int32_t classes,
                                      const atrous_crf_options*);

/* ---- test protocols: a photo at several sizes, in tiles, mirrored, and all answers averaged */

typedef struct atrous_protocol_options {
  size_t size;
  /* As published: "semseg", "encnet", "deeplabv2", "torchvision" (one scale, the shorter side 520). NULL:
   * both sides times each scale, probabilities averaged. 0 and NULL below stand for what is published. */
  const char* name;
  const double* scales; /* scale_count of them, 1 to 16, each above 0 and at most 8; NULL without a name: 1 */
  int32_t scale_count;
  int32_t flip;                    /* not 0: each input mirrored left to right too; not of deeplabv2 */
  int32_t base_size;               /* of semseg and encnet, pixels: the longer side at scale 1 */
  int32_t tile_width, tile_height; /* of these two: what the network sees at once */
  int32_t overlap;                 /* of these two: pixels that neighbouring tiles share; below 0: none */
} atrous_protocol_options;

/* ---- segmentation */

enum {                           /* of atrous_segment_options.want, beside labels */
       ATROUS_CONFIDENCE = 1,    /* the label's probability, at each pixel */
       ATROUS_PROBABILITIES = 2, /* those of all classes, at each pixel */
       ATROUS_LOGITS = 4         /* at the network's input size */
};

enum {                             /* of atrous_segment_options.resize */
       ATROUS_RESIZE_AS_MODEL = 0, /* as the model was published */
       ATROUS_RESIZE_NONE = 1,     /* the photo's own size */
       ATROUS_RESIZE_SHORTER = 2,  /* the shorter side to `width`, the longer one in proportion */
       ATROUS_RESIZE_EXACT = 3,    /* to `width` x `height`; not of instances */
       ATROUS_RESIZE_LONGER =
           4 /* the longer side to `width`, the shorter one in proportion; not of instances */
};

typedef struct atrous_segment_options {
  size_t size;
  uint32_t want;
  int32_t resize, width, height;
  int32_t at_input;      /* not 0: the label map has the network's input size, not the photo's */
  int32_t crf;           /* not 0: labels sharpened by a dense CRF */
  double threshold;      /* of a network of one logit: class 1 is above it; 0: 0.5 */
  double score;          /* of instances: those above it; 0: the model's. Below 0: all */
  int32_t max_instances; /* 0: the model's */
  int32_t reserved;
  const atrous_crf_options* crf_options;   /* how, where crf is not 0; NULL: as their zeros say */
  const atrous_protocol_options* protocol; /* NULL: the photo once. Not with ATROUS_LOGITS */
  /* Above 0: a picture of any size at its own size, seen in tiles of so many pixels a side that share
   * `overlap` (0: an eighth; below 0: none) and are blended. Labels and confidences alone: not with a CRF, a
   * protocol, at_input, another resize than none. */
  int32_t tile, overlap;
} atrous_segment_options;

typedef struct atrous_result atrous_result;

/* A photo, of any size. The picture is not needed afterwards. INVALID_ARGUMENT, LIMIT, NOT_FINITE; tiles are
 * UNSUPPORTED in a build without them, for browsers. */
ATROUS_C_API atrous_status atrous_segment(atrous_session*, const atrous_image* photo,
                                          const atrous_segment_options*, atrous_result** out);

/* A batch that is normalised already: n x height x width x 3 floats. `out` has room for n results, each of
 * height x width; after a failure all of them are NULL. Of the options, resize and at_input do not matter; a
 * CRF, protocols and tiles want a photo. INVALID_ARGUMENT, LIMIT, NOT_FINITE. */
ATROUS_C_API atrous_status atrous_segment_batch(atrous_session*, const float* input, int32_t n,
                                                int32_t height, int32_t width, const atrous_segment_options*,
                                                atrous_result** out);
ATROUS_C_API void atrous_result_free(atrous_result*);

typedef struct atrous_result_info {
  size_t size;
  int32_t width, height;      /* of labels, confidence and probabilities */
  const uint8_t* labels;      /* height * width: the class of each pixel. Of instances: the class of the one
                                 with the highest score there, 0 elsewhere */
  const float* confidence;    /* height * width, or NULL */
  const float* probabilities; /* height * width * classes, or NULL */
  const float* logits;        /* input_height * input_width * logits, or NULL */
  int32_t input_width, input_height; /* what the network saw */
  int32_t instances;                 /* by falling score; of semantic networks 0 */
  double prepare_seconds, network_seconds, label_seconds;
} atrous_result_info;

ATROUS_C_API atrous_status atrous_result_get_info(const atrous_result*, atrous_result_info*);

typedef struct atrous_instance {
  size_t size;
  float x1, y1, x2, y2; /* the box's corners in the photo's pixels */
  float score;
  int32_t label;
} atrous_instance;

ATROUS_C_API atrous_status atrous_result_get_instance(const atrous_result*, int32_t index, atrous_instance*);

/* The instance in the photo: height * width bytes, 1 where its probability is at least the threshold (0:
 * 0.5), 0 elsewhere. INVALID_ARGUMENT for another size and for a model without masks. */
ATROUS_C_API atrous_status atrous_result_get_mask(const atrous_result*, int32_t index, float threshold,
                                                  uint8_t* mask, size_t size);

/* ---- drawing */

typedef enum atrous_drawing {
  ATROUS_DRAW_MASK = 0,       /* RGB: each label's colour; no photo needed */
  ATROUS_DRAW_OVERLAY = 1,    /* RGB: the photo tinted by class, outlined; of instances their boxes too */
  ATROUS_DRAW_CUTOUT = 2,     /* RGBA: the photo where the label is `label`, elsewhere transparent */
  ATROUS_DRAW_CONFIDENCE = 3, /* grey: 0..1 as 0..255; no photo needed */
  ATROUS_DRAW_INPUT = 4       /* RGB: what the label map lies on, the photo as it was brought to its size */
} atrous_drawing;

typedef struct atrous_draw_options {
  size_t size;
  double alpha;        /* how much of the colour, to 1; 0: 0.5. Below 0: none */
  int32_t no_contours; /* not 0: regions are not outlined */
  int32_t tint_all;    /* not 0: the background is tinted too */
  int32_t label;       /* of a cut-out */
  int32_t reserved;
} atrous_draw_options;

/* `photo` is the one that was segmented, or NULL where none is needed; of a batch's result a picture of its
 * height x width, which the library has not seen. INVALID_ARGUMENT for a photo of another size and for what
 * the result does not have. */
ATROUS_C_API atrous_status atrous_draw(const atrous_result*, atrous_drawing, const atrous_image* photo,
                                       const atrous_draw_options*, atrous_picture** out);

/* ---- evaluation */

typedef struct atrous_evaluate_options {
  size_t size;
  const char* set; /* of the dataset; NULL: "val", or all where there are no sets */
  int32_t threads;
  int32_t limit;       /* the first so many images; 0: all */
  int32_t at_original; /* not 0: compared at the photo's size, otherwise at the network's input size */
  int32_t strict;      /* not 0: the first broken image ends the run */
  const char* labels;  /* the second folder of `pairs`; NULL: beside the photos */
  int32_t resize, width, height; /* as atrous_segment_options */
  double threshold;
  /* Called after each image, from a thread of the library's, one at a time; not 0 ends the run after the
   * images under way, and the result is of those measured so far. */
  int (*progress)(void* user, size_t done, size_t all);
  void* user;
  const atrous_crf_options* crf;           /* labels behind a dense CRF are measured too; NULL: not */
  const atrous_protocol_options* protocol; /* as atrous_segment_options */
  int32_t tile, overlap;                   /* likewise */
} atrous_evaluate_options;

/* Measures a model on a dataset: kind "voc", "camvid", "cityscapes", "ade20k", "pascal-context",
 * "pascal-context-60", "coco-stuff", "coco-voc" or "pairs", in the folder `root`. The result is the JSON that
 * `atrous eval --json` writes. UNSUPPORTED for a model of instances and in a build without evaluation. */
ATROUS_C_API atrous_status atrous_evaluate(const atrous_model*, const char* kind, const char* root,
                                           const atrous_evaluate_options*, atrous_bytes** json);

#ifdef __cplusplus
}
#endif

#endif
