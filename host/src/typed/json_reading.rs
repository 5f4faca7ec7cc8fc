//! [`JsonReading`]: the state of reading one document: what has been written, where it is, and what was wrong.

use std::cell::RefCell;

use serde::de::Error;

use super::argument_error::{ArgumentError, ArgumentProblem, path_step};
use super::write::{TooLong, Writer};

/// The state of reading one document.
pub(super) struct JsonReading {
    pub(super) writer: RefCell<Writer>,
    limit: usize,
    /// Where it is. After an error, where the error is.
    path: RefCell<Vec<PathStep>>,
    /// The error, if it is not one of the syntax.
    problem: RefCell<Option<ArgumentProblem>>,
}

/// A step of a path into a value.
pub(super) enum PathStep {
    Field(String),
    Element(usize),
}

impl JsonReading {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            writer: RefCell::new(Writer::new(limit)),
            limit,
            path: RefCell::default(),
            problem: RefCell::default(),
        }
    }

    /// Reads all of `json` with `read`.
    pub(super) fn whole<'de>(
        &self,
        json: &'de [u8],
        read: impl FnOnce(
            &mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
        ) -> Result<(), serde_json::Error>,
    ) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        read(&mut deserializer)?;
        deserializer.end()
    }

    pub(super) fn finish(
        self,
        read: Result<(), serde_json::Error>,
    ) -> Result<Vec<u8>, ArgumentError> {
        let Err(error) = read else {
            return Ok(self.writer.into_inner().into_bytes());
        };
        Err(match self.problem.into_inner() {
            // Of all arguments together, wherever they exceed it.
            Some(problem @ ArgumentProblem::TooLong { .. }) => ArgumentError::new("", problem),
            Some(problem) => ArgumentError::new(path(&self.path.borrow()), problem),
            None => {
                let why = format!("expected JSON, got something else: {error}");
                ArgumentError::new("", ArgumentProblem::Syntax(why))
            }
        })
    }

    pub(super) fn step(&self, step: PathStep) {
        self.path.borrow_mut().push(step);
    }

    /// Reads a part of a value. An error leaves the path where it is.
    pub(super) fn within<T, E>(
        &self,
        step: PathStep,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.step(step);
        let part = read()?;
        self.path.borrow_mut().pop();
        Ok(part)
    }

    pub(super) fn fail<E: Error>(&self, problem: ArgumentProblem) -> E {
        self.problem.borrow_mut().get_or_insert(problem);
        E::custom("")
    }

    pub(super) fn write<E: Error>(
        &self,
        write: impl FnOnce(&mut Writer) -> Result<(), TooLong>,
    ) -> Result<(), E> {
        write(&mut self.writer.borrow_mut()).map_err(|TooLong| {
            let limit = self.limit;
            self.fail(ArgumentProblem::TooLong { limit })
        })
    }

    pub(super) fn position(&self) -> usize {
        self.writer.borrow().position()
    }
}

/// Methods of a visitor that refuse what has another type in JSON.
macro_rules! refuse {
    ($value:ty: $($kind:ident),+) => { $(refuse!(@$kind $value);)+ };
    (@bool $value:ty) => {
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<$value, E> {
            Err(self.mismatch("a boolean"))
        }
    };
    (@number $value:ty) => {
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<$value, E> {
            Err(self.mismatch("a number"))
        }

        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<$value, E> {
            Err(self.mismatch("a number"))
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<$value, E> {
            Err(self.mismatch("a number"))
        }
    };
    (@string $value:ty) => {
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<$value, E> {
            Err(self.mismatch("a string"))
        }
    };
    (@null $value:ty) => {
        fn visit_unit<E: serde::de::Error>(self) -> Result<$value, E> {
            Err(self.mismatch("null"))
        }
    };
    (@array $value:ty) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<$value, A::Error> {
            Err(self.mismatch("an array"))
        }
    };
    (@object $value:ty) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<$value, A::Error> {
            Err(self.mismatch("an object"))
        }
    };
}

pub(super) use refuse;

fn path(steps: &[PathStep]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            PathStep::Element(index) => path += &format!("[{index}]"),
            PathStep::Field(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path += &path_step(name);
            }
        }
    }
    path
}
