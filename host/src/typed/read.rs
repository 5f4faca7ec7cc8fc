//! [`Reader`]: reads the canonical bytes of values.

/// What is left to read of canonical bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

/// The bytes are not those of a value of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything has been read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (read, left) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = left;
        Ok(read)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let read = self.raw(N)?;
        read.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    /// 0 or 1, as an option, a result and a bool begin.
    pub(crate) fn bit(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// A number of elements or of a case. Elements may have no bytes, so what reads them has to have a limit of its own.
    pub(crate) fn number(&mut self) -> Result<usize, Malformed> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// The bytes of a string, or of a list of bytes.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.number()?;
        self.raw(length)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.text()?).map_err(|_| Malformed)
    }

    pub(crate) fn char(&mut self) -> Result<char, Malformed> {
        char::from_u32(u32::from_le_bytes(self.array()?)).ok_or(Malformed)
    }

    /// The numbers of the flags that are set, of `number`.
    pub(crate) fn flags(
        &mut self,
        number: usize,
    ) -> Result<impl Iterator<Item = usize> + use<'a>, Malformed> {
        let bits = self.raw(number.div_ceil(8))?;
        Ok((0..number).filter(move |flag| bits[flag / 8] & (1 << (flag % 8)) != 0))
    }
}
