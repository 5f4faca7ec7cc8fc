//! The same answers by the interface `items` and by typed functions.

use bindings::exports::bench::samples::samples;
use bindings::exports::oneflight::client::items;

mod bindings {
    wit_bindgen::generate!({ path: ["../../../../wit", "wit"], world: "bench:samples/bench", generate_all });
    export!(Samples with_types_in self);
    use super::Samples;
}

struct Samples;

/// A JSON string of 92 bytes.
fn body() -> String {
    format!("\"{}\"", "b".repeat(90))
}

impl items::Guest for Samples {
    /// The key is the number of items.
    fn get_items(x: String) -> Result<Vec<items::Item>, items::Error> {
        let number: u32 = x.parse().map_err(|_| items::Error::NotFound)?;
        let item = |number: u32| items::Item {
            id: number.to_string(),
            body: body(),
        };
        Ok((0..number).map(item).collect())
    }
}

impl samples::Guest for Samples {
    fn next(number: u32) -> u32 {
        number + 1
    }

    fn items(number: u32) -> Vec<samples::Item> {
        let item = |number: u32| samples::Item {
            id: number.to_string(),
            body: body(),
        };
        (0..number).map(item).collect()
    }

    fn text(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn bytes(bytes: u32) -> Vec<u8> {
        vec![b'x'; bytes as usize]
    }
}
