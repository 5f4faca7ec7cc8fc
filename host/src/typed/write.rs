//! [`Writer`]: writes the canonical bytes of values.

/// Bytes that are written up to a limit.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    limit: usize,
}

/// The bytes exceed the limit of their writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The one NaN of `f32`: positive, quiet and without a payload.
const NAN_F32: u32 = 0x7fc0_0000;

/// The one NaN of `f64`.
const NAN_F64: u64 = 0x7ff8_0000_0000_0000;

impl Writer {
    /// A writer of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            // Lengths have 4 bytes.
            limit: limit.min(u32::MAX as usize),
        }
    }

    /// What has been written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes have been written.
    pub(crate) fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Writes these bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn byte(&mut self, byte: u8) -> Result<(), TooLong> {
        self.raw(&[byte])
    }

    /// A number of elements or of a case.
    pub(crate) fn number(&mut self, number: usize) -> Result<(), TooLong> {
        let number = u32::try_from(number).map_err(|_| TooLong)?;
        self.raw(&number.to_le_bytes())
    }

    /// A string, or a list of bytes: they have the same form.
    pub(crate) fn text(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.number(bytes.len())?;
        self.raw(bytes)
    }

    pub(crate) fn f32(&mut self, float: f32) -> Result<(), TooLong> {
        let bits = if float.is_nan() {
            NAN_F32
        } else {
            float.to_bits()
        };
        self.raw(&bits.to_le_bytes())
    }

    pub(crate) fn f64(&mut self, float: f64) -> Result<(), TooLong> {
        let bits = if float.is_nan() {
            NAN_F64
        } else {
            float.to_bits()
        };
        self.raw(&bits.to_le_bytes())
    }

    /// The flags whose numbers `is_set` accepts, of `number`.
    pub(crate) fn flags(
        &mut self,
        number: usize,
        is_set: impl Fn(usize) -> bool,
    ) -> Result<(), TooLong> {
        for first in (0..number).step_by(8) {
            let bits = (first..number.min(first + 8)).filter(|flag| is_set(*flag));
            self.byte(bits.map(|flag| 1 << (flag - first)).sum())?;
        }
        Ok(())
    }

    /// Writes a list whose number of elements is known when they are written.
    pub(crate) fn begin_list(&mut self) -> Result<usize, TooLong> {
        let at = self.position();
        self.number(0)?;
        Ok(at)
    }

    /// Ends the list that began at `at`.
    pub(crate) fn end_list(&mut self, at: usize, number: usize) {
        // Each element has at least one byte, or none at all has any: the limit is below 4 GiB.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// Orders what has been written since `start`, which consists of `parts` that end at these positions in the order in
    /// which they were written, by their numbers.
    pub(crate) fn reorder(&mut self, start: usize, parts: &[(usize, usize)]) {
        if parts.is_sorted_by_key(|(number, _)| *number) {
            return;
        }
        let written = self.bytes.split_off(start);
        let mut begin = 0;
        let mut ranges: Vec<_> = parts
            .iter()
            .map(|(number, end)| {
                let range = begin..end - start;
                begin = range.end;
                (*number, range)
            })
            .collect();
        ranges.sort_by_key(|(number, _)| *number);
        for (_, range) in ranges {
            self.bytes.extend_from_slice(&written[range]);
        }
    }

    /// Orders the entries of a map that were written since `start` by the bytes of their keys, and leaves out those whose
    /// key is written again later. `entries` are the ends of their keys and of their values. Returns how many are left.
    pub(crate) fn order_map(&mut self, start: usize, entries: &[(usize, usize)]) -> usize {
        let written = self.bytes.split_off(start);
        let mut begin = 0;
        let mut ordered: Vec<_> = entries
            .iter()
            .map(|(key, end)| {
                let entry = (&written[begin..key - start], &written[begin..end - start]);
                begin = end - start;
                entry
            })
            .collect();
        // A stable sort: of equal keys, the one that was written last is the last one.
        ordered.sort_by_key(|(key, _)| *key);
        let mut number = 0;
        for (nth, (key, entry)) in ordered.iter().enumerate() {
            if ordered.get(nth + 1).is_none_or(|(next, _)| next != key) {
                self.bytes.extend_from_slice(entry);
                number += 1;
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nan_is_written_as_the_same_one() {
        let f32 = |bits| {
            let mut writer = Writer::new(4);
            writer.f32(f32::from_bits(bits)).unwrap();
            writer.into_bytes()
        };
        assert_eq!(f32(0xffc0_0001), f32(0x7fc0_0000));
        assert_ne!(f32(0), f32(0x8000_0000));
        let f64 = |float| {
            let mut writer = Writer::new(8);
            writer.f64(float).unwrap();
            writer.into_bytes()
        };
        assert_eq!(f64(-f64::NAN), f64(f64::NAN));
    }

    #[test]
    fn parts_are_ordered_by_their_numbers() {
        let mut writer = Writer::new(10);
        writer.raw(b"-").unwrap();
        writer.raw(b"bbca").unwrap();
        writer.reorder(1, &[(1, 3), (2, 4), (0, 5)]);
        assert_eq!(writer.into_bytes(), b"-abbc");
    }

    #[test]
    fn the_last_of_equal_keys_of_a_map_counts() {
        let mut writer = Writer::new(10);
        writer.raw(b"b1a2b3").unwrap();
        assert_eq!(writer.order_map(0, &[(1, 2), (3, 4), (5, 6)]), 2);
        assert_eq!(writer.into_bytes(), b"a2b3");
    }

    #[test]
    fn flags_have_a_bit_each() {
        let mut writer = Writer::new(2);
        writer.flags(9, |flag| flag == 1 || flag == 8).unwrap();
        assert_eq!(writer.into_bytes(), [0b10, 1]);
        assert_eq!(Writer::new(1).flags(9, |_| true), Err(TooLong));
    }
}
