vcl 4.1;

# Varnish with its built-in rules: callers that ask for what is being fetched wait for it, unless it turns
# out not to be cacheable. Grace is its own: for 10 s after its end an object is served while it is fetched
# anew. {host} and {port} are filled in.
backend default {
  .host = "{host}";
  .port = "{port}";
}
