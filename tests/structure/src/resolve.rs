//! From a path to the module that declares what it names.

use crate::modules::Crate;
use crate::references::Binding;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Module(usize),
    /// An item of a module, as that module names it.
    Item {
        module: usize,
        name: String,
    },
}

/// Imports that are being followed, by module and place: one that leads back to itself names another
/// crate, as in `use time::time`.
type Following = Vec<(usize, usize)>;

impl Crate {
    /// What `path`, written in the module `from`, names in this crate: nothing for a path into another
    /// crate, for a local variable and for a type parameter; several things where `cfg` decides.
    pub(crate) fn resolve(&self, from: usize, path: &[String]) -> Vec<Target> {
        self.follow(from, path, &mut Vec::new())
    }

    fn follow(&self, from: usize, path: &[String], following: &mut Following) -> Vec<Target> {
        let mut module = from;
        let mut rest = path;
        let mut rooted = false;
        while let Some((first, after)) = rest.split_first() {
            module = match first.as_str() {
                "crate" => 0,
                "self" => module,
                "super" => self.modules[module].parent.unwrap_or(0),
                _ => break,
            };
            rooted = true;
            rest = after;
        }
        let found = self.member(module, rest, following);
        match rest.first() {
            // Declared by a macro: `bindgen!`, `pin_project!`.
            Some(name) if found.is_empty() && rooted => {
                let name = name.clone();
                vec![Target::Item { module, name }]
            }
            _ => found,
        }
    }

    /// What `path` names below `module`.
    fn member(&self, module: usize, path: &[String], following: &mut Following) -> Vec<Target> {
        let Some((name, rest)) = path.split_first() else {
            return vec![Target::Module(module)];
        };
        let this = &self.modules[module];
        let child = this.children.get(name);
        if let Some(child) = child
            && !rest.is_empty()
        {
            return self.declared_below(*child, rest, following);
        }
        let mut found = Vec::new();
        if this.items.contains(name) {
            let name = name.clone();
            found.push(Target::Item { module, name });
        }
        let named = Binding::Name(name.clone());
        self.imported(
            module,
            &named,
            &mut found,
            following,
            |target, following| self.below(target, rest, following),
        );
        if found.is_empty() {
            self.imported(
                module,
                &Binding::Glob,
                &mut found,
                following,
                |target, following| match target {
                    Target::Module(module) => self.member(module, path, following),
                    Target::Item { .. } => Vec::new(),
                },
            );
        }
        // A module and a function may share a name; the last segment means the function.
        if let (true, Some(child)) = (found.is_empty(), child) {
            found.push(Target::Module(*child));
        }
        found
    }

    /// Adds what `then` finds behind each import of `module` that has this binding.
    fn imported(
        &self,
        module: usize,
        binding: &Binding,
        found: &mut Vec<Target>,
        following: &mut Following,
        then: impl Fn(Target, &mut Following) -> Vec<Target>,
    ) {
        for (place, import) in self.modules[module].imports.iter().enumerate() {
            if import.binding != *binding || following.contains(&(module, place)) {
                continue;
            }
            following.push((module, place));
            let mut targets = self.follow(module, &import.path.segments, following);
            if let (Binding::Name(name), true) = (binding, targets.is_empty()) {
                // Of another crate: for this one, the module that imports it declares it.
                let name = name.clone();
                targets.push(Target::Item { module, name });
            }
            for target in targets {
                for target in then(target, following) {
                    if !found.contains(&target) {
                        found.push(target);
                    }
                }
            }
            following.pop();
        }
    }

    /// What `rest` names below `target`: what stands behind a type belongs to the type.
    fn below(&self, target: Target, rest: &[String], following: &mut Following) -> Vec<Target> {
        match target {
            Target::Module(module) if !rest.is_empty() => {
                self.declared_below(module, rest, following)
            }
            target => vec![target],
        }
    }

    /// Like `member`, for a module that the path names: a name that it does not declare itself comes from
    /// a macro in it.
    fn declared_below(
        &self,
        module: usize,
        path: &[String],
        following: &mut Following,
    ) -> Vec<Target> {
        let mut found = self.member(module, path, following);
        if found.is_empty() {
            let name = path[0].clone();
            found.push(Target::Item { module, name });
        }
        found
    }

    /// Whether `module` is `ancestor`, or stands below it.
    pub(crate) fn is_within(&self, module: usize, ancestor: usize) -> bool {
        let mut module = Some(module);
        while let Some(index) = module {
            if index == ancestor {
                return true;
            }
            module = self.modules[index].parent;
        }
        false
    }
}
