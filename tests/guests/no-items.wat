;; A valid component that exports nothing a client must export.
(component
  (component $other)
  (instance $other (instantiate $other))
  (export "oneflight:client/things@0.1.0" (instance $other)))
