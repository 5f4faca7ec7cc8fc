;; Valid, and its memory begins larger than any that the host makes room for.
(component
  (core module $code (memory 1100))
  (core instance (instantiate $code)))
