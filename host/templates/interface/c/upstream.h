// Requests to the upstream.

#ifndef UPSTREAM_H
#define UPSTREAM_H

#include <stdbool.h>
#include <stdnoreturn.h>

#include "bindings/client.h"

// A response with any status; or, if there is none, why.
typedef struct {
  bool is_response;
  oneflight_client_fetch_response_t response;
  oneflight_client_fetch_fetch_error_t error;
} upstream_reply;

// Sends `GET BASE_URL/name/segment/...`. NULL ends the segments.
upstream_reply upstream_get(const char *name, const client_string_t **segments);

// Frees what a reply has.
void upstream_free(upstream_reply *reply);

// Ends a call whose function is not written yet. Remove it when all of them are.
noreturn void upstream_unfinished(const char *name, const upstream_reply *reply);

#endif
