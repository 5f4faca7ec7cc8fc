;; A valid component that does not export the contract's interface.
(component
  (component $other)
  (instance $other (instantiate $other))
  (export "oneflight:client/things@0.1.0" (instance $other)))
