//! Components that are small and valid, and too expensive to compile.

/// A component of less than 60 KB, with one function whose compilation takes gigabytes.
#[must_use]
pub fn of_memory() -> Vec<u8> {
    component(1, &function(2_500, 2_500))
}

/// A component whose compilation takes minutes, and not much memory.
#[must_use]
pub fn of_time() -> Vec<u8> {
    component(1_000, &function(400, 400))
}

/// A component of `functions` functions, all alike.
#[must_use]
pub fn component(functions: u32, function: &[u8]) -> Vec<u8> {
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        // One type: no parameters, no results.
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(functions), vec![0; functions as usize]].concat()),
        section(
            10,
            &[leb(functions), function.repeat(functions as usize)].concat(),
        ),
    ];
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, &module.concat())].concat()
}

/// A function with so many locals and so many nested loops. The innermost changes every local and may restart
/// any loop, so each loop has its own value of each local: `locals * loops` values for a few bytes of each.
#[must_use]
pub fn function(locals: u32, loops: u32) -> Vec<u8> {
    const I32: u8 = 0x7f;
    let mut body = [vec![1], leb(locals), vec![I32]].concat();
    for _ in 0..loops {
        body.extend([0x03, 0x40]);
    }
    for local in 0..locals {
        let local = leb(local);
        // local.get, i32.const 1, i32.add, local.set
        body.extend([&[0x20], &*local, &[0x41, 1, 0x6a, 0x21], &*local].concat());
    }
    for outer in 0..loops {
        // local.get 0, br_if
        body.extend([&[0x20, 0, 0x0d], &*leb(outer)].concat());
    }
    body.resize(body.len() + loops as usize + 1, 0x0b);
    [leb(body.len() as u32), body].concat()
}

/// A section of a module or a component.
#[must_use]
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], leb(content.len() as u32), content.to_vec()].concat()
}

/// `number` in LEB128, as WebAssembly writes its numbers.
fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
