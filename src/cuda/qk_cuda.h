/* The C interface of the CUDA kernels: what lies in the shared object _cuda, for any language that
 * loads it.
 *
 * Every function returns QK_CUDA_OK or another code, and then fills *error in with a message that
 * names the values at fault. Calls that take a stream (a cudaStream_t, null for the default one)
 * put their work on it and return: they neither allocate, nor wait, nor use another stream, so that
 * they can be captured in a graph. Device memory belongs to the caller. The device is that of
 * `device`; the calling thread's current device is left as it was.
 *
 *   activations   x, quantised: qk_cuda_activation_bytes() of device memory, aligned to 16 bytes,
 *                 for m <= 8 batch rows of k values
 *   weights       n rows of blocks as in a GGUF file (QK_CUDA_NATIVE), or rows as qk_cuda_pack()
 *                 leaves them (QK_CUDA_PACKED), at a multiple of the alignment that
 *                 qk_cuda_format_info() names; rows lie row_stride bytes apart
 */
#ifndef QK_CUDA_H
#define QK_CUDA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QK_CUDA_ABI 1
#define QK_CUDA_MOST_COLUMNS 8

typedef enum {
  QK_CUDA_OK = 0,
  QK_CUDA_TYPE = 1,    /* a wrong dtype or kind of memory */
  QK_CUDA_VALUE = 2,   /* a wrong shape, format, alignment or range */
  QK_CUDA_INDEX = 3,   /* a format or device that does not exist */
  QK_CUDA_RUNTIME = 4, /* CUDA refused; cuda_error holds its number */
  QK_CUDA_MEMORY = 5   /* no memory left on the device */
} qk_cuda_code;

typedef struct {
  int32_t code;
  int32_t cuda_error;
  char message[240];
} qk_cuda_error;

typedef enum { QK_CUDA_F32 = 0, QK_CUDA_F16 = 1, QK_CUDA_BF16 = 2 } qk_cuda_dtype;
typedef enum { QK_CUDA_INT16 = 0, QK_CUDA_FLOAT32 = 1, QK_CUDA_INT8 = 2 } qk_cuda_act;
typedef enum { QK_CUDA_NATIVE = 0, QK_CUDA_PACKED = 1 } qk_cuda_layout;
typedef enum {
  QK_CUDA_NONE = 0,
  QK_CUDA_SILU = 1,
  QK_CUDA_GELU = 2, /* by the error function */
  QK_CUDA_GELU_TANH = 3,
  QK_CUDA_GELU_SIGMOID = 4
} qk_cuda_function;

typedef struct {
  char name[256];
  int32_t major, minor; /* compute capability */
  int32_t multiprocessors;
  int32_t driver_version; /* as CUDA numbers them: 13000 is 13.0 */
  int64_t memory_bytes;
  int64_t l2_bytes;
} qk_cuda_device_info;

typedef struct {
  char name[16];
  int32_t block;       /* weights */
  int32_t block_bytes; /* as in a file */
  int32_t alignment;   /* of the first row and of row_stride, native; packed it is 16 */
  int32_t packs;       /* whether the packed layout is another than the native one */
  int32_t is_float;    /* f32, f16, bf16: always multiplied with QK_CUDA_FLOAT32 */
} qk_cuda_format_info_t;

/* A row-major matrix of floats on the device: `rows` rows, `stride` elements apart. */
typedef struct {
  void* data;
  int64_t rows;
  int64_t columns;
  int64_t stride;
  int32_t dtype;
} qk_cuda_matrix;

typedef struct {
  const void* data;
  int64_t n;
  int64_t k;
  int64_t row_stride; /* bytes */
  int32_t format;
  int32_t layout;
} qk_cuda_weights;

/* y = function(x W^T + bias), or with `up` y = function(x W^T + bias) * (x up^T + up_bias). */
typedef struct {
  int32_t device;
  int32_t act; /* how the activations are held */
  void* stream;
  qk_cuda_weights weights;
  const void* up;          /* null, or a second matrix like the first */
  const void* activations; /* of `columns` rows of x */
  int64_t columns;         /* m, at most QK_CUDA_MOST_COLUMNS */
  qk_cuda_matrix y;        /* (columns, n) */
  const float* bias;       /* null, or n floats on the device */
  const float* up_bias;
  int64_t bias_stride; /* 0, or the distance between a bias of each column; y itself may be one */
  int32_t function;
} qk_cuda_product;

/* The library and the machine. qk_cuda_available() fails where kernels cannot run, and its message
 * says why. */
int qk_cuda_abi(void);
int qk_cuda_available(qk_cuda_error* error);
int qk_cuda_device_count(int32_t* count, qk_cuda_error* error);
int qk_cuda_device(int32_t device, qk_cuda_device_info* info, qk_cuda_error* error);

/* Memory, for callers without a framework. The copies are asynchronous for pinned host memory. */
int qk_cuda_malloc(int32_t device, int64_t bytes, void** pointer, qk_cuda_error* error);
int qk_cuda_free(int32_t device, void* pointer, qk_cuda_error* error);
int qk_cuda_copy(int32_t device, void* to, const void* from, int64_t bytes, void* stream,
                 qk_cuda_error* error);
int qk_cuda_synchronize(int32_t device, void* stream, qk_cuda_error* error);
/* Waits for everything that was put on a device, whatever its stream. */
int qk_cuda_synchronize_device(int32_t device, qk_cuda_error* error);
/* What `stream` is given from now on starts after what `other` was given until now. The host does
 * not wait. */
int qk_cuda_wait(int32_t device, void* stream, void* other, qk_cuda_error* error);
/* The device that the memory at a pointer belongs to, or -1 for memory of the host. */
int qk_cuda_pointer_device(const void* pointer, int32_t* device, qk_cuda_error* error);

/* Formats, by GGUF's name in any case, and what a matrix takes in a layout. */
int qk_cuda_find_format(const char* name, int32_t* format, qk_cuda_error* error);
int qk_cuda_format_info(int32_t format, qk_cuda_format_info_t* info, qk_cuda_error* error);
int qk_cuda_row_bytes(int32_t format, int32_t layout, int64_t k, int64_t* bytes,
                      qk_cuda_error* error);
/* Packs n rows from one place in host memory to another; rows of both lie their row_bytes apart, or
 * `row_stride` in `from`. */
int qk_cuda_pack(int32_t format, int64_t n, int64_t k, const void* from, int64_t row_stride,
                 void* to, int64_t to_bytes, qk_cuda_error* error);

/* Activations: as row_scale * scale * v with a scale for each 32 (cuda/activations.h). Of int8 this
 * is q8_1: int8 x 32, a float32 scale and a float32 sum. */
int qk_cuda_activation_bytes(int32_t act, int64_t m, int64_t k, int64_t* bytes,
                             qk_cuda_error* error);
int qk_cuda_quantize(int32_t device, const qk_cuda_matrix* x, int32_t act, void* activations,
                     void* stream, qk_cuda_error* error);

/* Products: one launch. With x, it is quantised first, into `activations`: two launches, of which
 * the second starts while the first still runs, where the device can. */
int qk_cuda_multiply(const qk_cuda_product* product, qk_cuda_error* error);
int qk_cuda_quantize_and_multiply(const qk_cuda_matrix* x, const qk_cuda_product* product,
                                  qk_cuda_error* error);

/* Weights as floats, bit for bit as on the CPU: out is (n, k). */
int qk_cuda_dequantize(int32_t device, const qk_cuda_weights* weights, const qk_cuda_matrix* out,
                       void* stream, qk_cuda_error* error);

/* values = function(values + bias) in place; bias has an element a column, or is null. */
int qk_cuda_apply(int32_t device, const qk_cuda_matrix* values, const void* bias,
                  int32_t bias_dtype, int32_t function, void* stream, qk_cuda_error* error);

#ifdef __cplusplus
}
#endif

#endif
