//! [`TypeBudget`]: how large the types of all functions of a component may be together.

/// The maximum number of parts of all types. Types are graphs: a small file can name a huge tree.
const MAX_TYPES: usize = 10_000;

/// The maximum size of all names of functions and in types, in bytes. One name may have 100,000.
const MAX_NAME_BYTES: usize = 128 << 10;

/// The maximum depth of a type.
pub(crate) const MAX_DEPTH: usize = 64;

/// The maximum number of parts that are visited, also those of functions that are refused for what they have.
const MAX_VISITS: usize = 10 * MAX_TYPES;

/// What is left for the types of a component. An error says what exceeds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypeBudget {
    types: usize,
    name_bytes: usize,
    visits: usize,
}

impl Default for TypeBudget {
    fn default() -> Self {
        Self {
            types: MAX_TYPES,
            name_bytes: MAX_NAME_BYTES,
            visits: MAX_VISITS,
        }
    }
}

impl TypeBudget {
    /// Takes one part of a type.
    pub(crate) fn take_type(&mut self) -> Result<(), String> {
        self.visits = self.visits.checked_sub(1).ok_or_else(|| {
            format!("the types of the functions before have more than {MAX_VISITS} parts")
        })?;
        self.types = self
            .types
            .checked_sub(1)
            .ok_or_else(|| format!("its types have more than {MAX_TYPES} parts"))?;
        Ok(())
    }

    /// Takes a name of this length.
    pub(crate) fn take_name(&mut self, bytes: usize) -> Result<(), String> {
        self.name_bytes = self
            .name_bytes
            .checked_sub(bytes)
            .ok_or_else(|| format!("its names have more than {MAX_NAME_BYTES} bytes"))?;
        Ok(())
    }

    /// Takes a name, and copies it.
    pub(crate) fn name(&mut self, name: &str) -> Result<Box<str>, String> {
        self.take_name(name.len())?;
        Ok(name.into())
    }

    /// What `work` returns. If that is an error, it has taken nothing but visits.
    pub(crate) fn or_return<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let before = *self;
        let result = work(self);
        if result.is_err() {
            let visits = self.visits;
            *self = Self { visits, ..before };
        }
        result
    }
}
