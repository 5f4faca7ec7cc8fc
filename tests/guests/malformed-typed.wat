;; Typed functions that return what their types do not allow, which no compiler of a guest emits. `sound` returns 7.
(component
  (core module $code
    (memory (export "memory") 1)
    (func (export "sound") (result i32) i32.const 7)
    ;; A string at 16 with one byte that is not UTF-8.
    (func (export "text") (result i32)
      (i32.store (i32.const 0) (i32.const 16))
      (i32.store (i32.const 4) (i32.const 1))
      (i32.store8 (i32.const 16) (i32.const 0xff))
      i32.const 0)
    ;; A list that ends behind the memory.
    (func (export "list") (result i32)
      (i32.store (i32.const 0) (i32.const 65528))
      (i32.store (i32.const 4) (i32.const 3))
      i32.const 0)
    ;; A list whose length in bytes exceeds 32 bits.
    (func (export "long-list") (result i32)
      (i32.store (i32.const 0) (i32.const 0))
      (i32.store (i32.const 4) (i32.const -1))
      i32.const 0)
    ;; A list that does not begin where its elements may.
    (func (export "unaligned-list") (result i32)
      (i32.store (i32.const 0) (i32.const 1))
      (i32.store (i32.const 4) (i32.const 1))
      i32.const 0)
    ;; The third of two cases, or the third of ok and err.
    (func (export "case") (result i32) i32.const 2)
    ;; A surrogate.
    (func (export "char") (result i32) i32.const 0xd800)
    ;; A result that is behind the memory.
    (func (export "place") (result i32) i32.const 65533))
  (core instance $code (instantiate $code))
  (alias core export $code "memory" (core memory $memory))

  (type $color (enum "red" "green"))
  (export $named-color "color" (type $color))

  (func (export "sound") (result u32) (canon lift (core func $code "sound")))
  (func (export "text") (result string)
    (canon lift (core func $code "text") (memory $memory)))
  (func (export "list") (result (list u32))
    (canon lift (core func $code "list") (memory $memory)))
  (func (export "long-list") (result (list u64))
    (canon lift (core func $code "long-list") (memory $memory)))
  (func (export "unaligned-list") (result (list u32))
    (canon lift (core func $code "unaligned-list") (memory $memory)))
  (func (export "case-of-enum") (result $named-color) (canon lift (core func $code "case")))
  (func (export "case-of-result") (result (result)) (canon lift (core func $code "case")))
  (func (export "char") (result char) (canon lift (core func $code "char")))
  (func (export "place") (result (tuple u32 u32))
    (canon lift (core func $code "place") (memory $memory))))
