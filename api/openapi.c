#include "api/openapi.h"

/* Made of openapi.json by the build (cmake/embed.cmake). */
extern const char alv_openapi_text[];
extern const size_t alv_openapi_text_size;

void alv_openapi_answer(alv_answer *out)
{
    alv_answer_begin_json(out, 200);
    alv_bytes_append(&out->body, alv_openapi_text, alv_openapi_text_size);
}
