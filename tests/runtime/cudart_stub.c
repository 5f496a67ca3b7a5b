/* A libcudart on host memory, for tests of the ctypes layer. It logs each call to the file that CUDART_STUB_LOG names, and fails the
   function that CUDART_STUB_FAIL names with error 2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int answer(const char *name) {
    const char *log = getenv("CUDART_STUB_LOG"), *fail = getenv("CUDART_STUB_FAIL");
    if (log) {
        FILE *file = fopen(log, "a");
        if (file) { fprintf(file, "%s\n", name); fclose(file); }
    }
    return fail && !strcmp(fail, name) ? 2 : 0;
}

const char *cudaGetErrorString(int code) { return code == 2 ? "out of memory" : code == 900 ? "operation not permitted when stream is capturing" : "no error"; }
int cudaGetDeviceCount(int *count) { *count = 1; return answer("cudaGetDeviceCount"); }
int cudaGetDevice(int *index) { *index = 3; return answer("cudaGetDevice"); }
int cudaGetDeviceProperties(char *properties, int index) {
    memset(properties, 0, 1024);
    sprintf(properties, "Stub GPU %d", index);
    return answer("cudaGetDeviceProperties");
}
int cudaDeviceGetAttribute(int *value, int which, int index) {
    *value = which == 75 ? 8 : which == 76 ? 7 : which == 16 ? 8 : -1;
    return index == 3 ? answer("cudaDeviceGetAttribute") : 101;
}
int cudaMalloc(void **address, size_t size) { *address = malloc(size); return answer("cudaMalloc"); }
int cudaMallocHost(void **address, size_t size) { *address = malloc(size); return answer("cudaMallocHost"); }
int cudaFree(void *address) { free(address); return answer("cudaFree"); }
int cudaFreeHost(void *address) { free(address); return answer("cudaFreeHost"); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
    memcpy(to, from, size);
    return stream && (kind == 1 || kind == 2) ? answer(kind == 1 ? "to device" : "to host") : 1;
}
int cudaStreamCreateWithFlags(void **stream, unsigned flags) { *stream = malloc(1); return flags == 1 ? answer("cudaStreamCreateWithFlags") : 1; }
int cudaStreamDestroy(void *stream) { free(stream); return answer("cudaStreamDestroy"); }
int cudaStreamSynchronize(void *stream) { return stream ? answer("cudaStreamSynchronize") : 1; }
int cudaStreamBeginCapture(void *stream, int mode) { return stream && mode == 1 ? answer("cudaStreamBeginCapture") : 1; }
int cudaStreamEndCapture(void *stream, void **graph) { *graph = malloc(1); return stream ? answer("cudaStreamEndCapture") : 1; }
int cudaGraphInstantiateWithFlags(void **made, void *graph, unsigned long long flags) {
    *made = malloc(1);
    return graph && !flags ? answer("cudaGraphInstantiateWithFlags") : 1;
}
int cudaGraphDestroy(void *graph) { free(graph); return answer("cudaGraphDestroy"); }
int cudaGraphLaunch(void *graph, void *stream) { return graph && stream ? answer("cudaGraphLaunch") : 1; }
int cudaGraphExecDestroy(void *graph) { free(graph); return answer("cudaGraphExecDestroy"); }
