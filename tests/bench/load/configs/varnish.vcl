vcl 4.1;

# Varnish with its built-in rules: callers wait for a fetch of the same object, unless it turns out not to be
# cacheable. Grace has its default: for 10 s after it has expired an object is served while it is fetched again.
# {host} and {port} are replaced.
backend default {
  .host = "{host}";
  .port = "{port}";
}
