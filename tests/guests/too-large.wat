;; A valid component whose initial memory exceeds the memory limit of the engine.
(component
  (core module $code (memory 1100))
  (core instance (instantiate $code)))
