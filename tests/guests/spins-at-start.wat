;; Exports the contract's interface, and loops endlessly when it is instantiated.
(component
  (core module $code
    (func $spin (loop $again (br $again)))
    (start $spin)
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "get-items") (param i32 i32) (result i32) unreachable))
  (core instance $code (instantiate $code))

  (type $item (record (field "id" string) (field "body" string)))
  (type $error (variant
    (case "invalid-key" string)
    (case "not-found")
    (case "upstream-status" u16)
    (case "upstream-unavailable" string)
    (case "upstream-malformed" string)
    (case "denied" string)
    (case "rate-limited" (option u32))
    (case "other" string)))
  (func $get-items (param "x" string) (result (result (list $item) (error $error)))
    (canon lift
      (core func $code "get-items")
      (memory (core memory $code "memory"))
      (realloc (core func $code "realloc"))))

  ;; A type gets its name when a component imports or exports it, so this component is in between.
  (component $items
    (import "item" (type $in-item (eq $item)))
    (import "error" (type $in-error (eq $error)))
    (import "get-items" (func $get-items
      (param "x" string) (result (result (list $in-item) (error $in-error)))))
    (export $out-item "item" (type $in-item))
    (export $out-error "error" (type $in-error))
    (export "get-items" (func $get-items) (func
      (param "x" string) (result (result (list $out-item) (error $out-error))))))
  (instance $items (instantiate $items
    (with "item" (type $item))
    (with "error" (type $error))
    (with "get-items" (func $get-items))))
  (export "oneflight:client/items@0.1.0" (instance $items)))
