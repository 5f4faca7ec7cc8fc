//! The modules of one crate: the names that each of them declares, imports and uses.
//!
//! Items behind `cfg(test)` are left out. A module written inline, `mod name { .. }`, is a module like
//! one with a file of its own. Items in the body of a function are not declared: no path from elsewhere
//! reaches them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use syn::Item;

use crate::attributes::{attributes, explicit_path, is_test};
use crate::declared::{self, Type};
use crate::references::{self, Import, Reference};

/// One crate.
#[derive(Debug)]
pub struct Crate {
    /// Its modules; the first is the root.
    pub modules: Vec<Module>,
}

/// One module.
#[derive(Debug, Default)]
pub struct Module {
    /// Its path below the root, as in `client::limits`. The root is `crate`.
    pub name: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// Index of the module that declares it; the root has none.
    pub(crate) parent: Option<usize>,
    /// Modules that it declares.
    pub(crate) children: BTreeMap<String, usize>,
    /// Everything else that it declares.
    pub(crate) items: BTreeSet<String>,
    /// Types among them, and those that macros are given to declare.
    pub(crate) types: Vec<Type>,
    /// Its `use` declarations, a leaf each.
    pub(crate) imports: Vec<Import>,
    /// Paths in everything but its `use` declarations.
    pub(crate) references: Vec<Reference>,
}

/// What gives the text of a file, so that tests need no files.
type Read<'r> = &'r dyn Fn(&Path) -> Result<String>;

impl Crate {
    /// Reads the crate whose root is `file`.
    ///
    /// # Errors
    ///
    /// When a file is missing, or is not Rust.
    pub fn read(file: &Path, read: Read<'_>) -> Result<Self> {
        let mut this = Self {
            modules: Vec::new(),
        };
        let root = Module {
            name: "crate".to_owned(),
            file: file.to_owned(),
            ..Module::default()
        };
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let items = parse(file, read)?;
        this.add(root, &folder, items, read)?;
        Ok(this)
    }

    /// Adds a module with all below it. `folder` is where its children have their files.
    fn add(
        &mut self,
        module: Module,
        folder: &Path,
        items: Vec<Item>,
        read: Read<'_>,
    ) -> Result<usize> {
        let index = self.modules.len();
        self.modules.push(module);
        for item in items.into_iter().filter(|item| !is_test(attributes(item))) {
            let Item::Mod(child) = item else {
                let this = &mut self.modules[index];
                this.items.extend(declared::name(&item));
                this.types.extend(declared::types(&item));
                references::collect(&item, &mut this.imports, &mut this.references);
                continue;
            };
            let name = child.ident.to_string();
            let below = folder.join(&name);
            let named = explicit_path(&child.attrs);
            let (file, folder, items) = match child.content {
                Some((_, items)) => (self.modules[index].file.clone(), below, items),
                None => {
                    let (file, folder) = self.locate(index, &below, named, read)?;
                    let items = parse(&file, read)?;
                    (file, folder, items)
                }
            };
            let module = Module {
                name: match self.modules[index].parent {
                    None => name.clone(),
                    Some(_) => format!("{}::{name}", self.modules[index].name),
                },
                file,
                parent: Some(index),
                ..Module::default()
            };
            let child = self.add(module, &folder, items, read)?;
            self.modules[index].children.insert(name, child);
        }
        Ok(index)
    }

    /// The file of a module that is declared in `parent`, and the folder of its own children.
    fn locate(
        &self,
        parent: usize,
        below: &Path,
        named: Option<String>,
        read: Read<'_>,
    ) -> Result<(PathBuf, PathBuf)> {
        if let Some(path) = named {
            let beside = self.modules[parent].file.parent().unwrap_or(Path::new(""));
            let file = normal(&beside.join(path));
            let folder = file.parent().unwrap_or(Path::new("")).to_owned();
            return Ok((file, folder));
        }
        let file = below.with_extension("rs");
        if read(&file).is_ok() {
            return Ok((file, below.to_owned()));
        }
        let nested = below.join("mod.rs");
        if read(&nested).is_ok() {
            return Ok((nested, below.to_owned()));
        }
        bail!(
            "expected {} for a module of {}",
            file.display(),
            self.modules[parent].file.display()
        )
    }
}

fn parse(file: &Path, read: Read<'_>) -> Result<Vec<Item>> {
    let text = read(file)?;
    let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
    Ok(parsed.items)
}

/// `path` without `..`, so that one file has one name.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
