//! The modules that a module calls, and what those call: found, fetched from the source, and their new places written down.
//!
//! From the module's root everything has to be there. Other folders of the module (examples, tests, modules that consumers name by
//! `//folder`) are followed as well, but what is wrong in them is a warning: nobody asked for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    config::{Call, Source, Syntax},
    order::Order,
    package::{CallError, MIRROR, Note, PackageError, Place, Stock, Why},
    path,
};

/// Replacements in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edits(BTreeMap<usize, (Range<usize>, String)>);

impl Edits {
    /// The text with the replacements made; everything else as it was.
    pub(crate) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let (mut edited, mut done) = (Vec::with_capacity(text.len()), 0);
        for (range, with) in self.0.values() {
            edited.extend_from_slice(text.get(done..range.start).unwrap_or_default());
            edited.extend_from_slice(with.as_bytes());
            done = range.end;
        }
        edited.extend_from_slice(text.get(done..).unwrap_or_default());
        edited
    }
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Folders of the source that are mirrored.
    pub(crate) mirrored: BTreeSet<String>,
    /// By place and the file's path in the source.
    pub(crate) edits: BTreeMap<(Place, String), Edits>,
    pub(crate) notes: Vec<Note>,
    seen: BTreeSet<(Place, String)>,
}

/// A folder to look at.
#[derive(Clone)]
struct Step {
    place: Place,
    folder: String,
    /// Whether what is wrong in it fails the build.
    strict: bool,
}

impl Calls {
    /// Follows every call of the module in `module`.
    pub(crate) fn follow(stock: &mut Stock, module: &str) -> Result<Self, PackageError> {
        let mut calls = Self::default();
        calls.run(stock, module, Step { place: Place::Own, folder: module.to_owned(), strict: true })?;
        let folders: Vec<String> = stock.own.folders.keys().cloned().collect();
        for folder in folders {
            calls.run(stock, module, Step { place: Place::Own, folder, strict: false })?;
        }
        Ok(calls)
    }

    fn run(&mut self, stock: &mut Stock, module: &str, first: Step) -> Result<(), PackageError> {
        // What has to be there goes first: a folder is looked at once.
        let (mut steps, mut later) = (vec![first], Vec::new());
        while let Some(step) = steps.pop().or_else(|| later.pop()) {
            if !self.seen.insert((step.place, step.folder.clone())) {
                continue;
            }
            let Some(files) = stock.shelf(step.place).folders.get(&step.folder).cloned() else { continue };
            let order = Order::of(&files);
            for (file, config) in &files {
                let step = Step { strict: step.strict && !order.is_shadowed(file), ..step.clone() };
                let config = match config {
                    Ok(config) => config,
                    Err(source) => {
                        self.blame(step.strict, PackageError::Syntax { file: file.clone(), source: source.clone() })?;
                        continue;
                    }
                };
                self.upward(stock, module, &step, file, &config.upward);
                for call in &config.calls {
                    let step = Step { strict: step.strict && !order.is_overridden(file, call), ..step.clone() };
                    if let Some(next) = self.call(stock, module, &step, file, call)? {
                        if next.strict { steps.push(next) } else { later.push(next) }
                    }
                }
            }
        }
        Ok(())
    }

    fn blame(&mut self, strict: bool, error: PackageError) -> Result<(), PackageError> {
        if strict {
            return Err(error);
        }
        self.notes.push(Note::Warning(format!("{error} (the module itself does not need it)")));
        Ok(())
    }

    /// Files that are reached by going up from a module's folder and do not lie where they did.
    fn upward(&mut self, stock: &Stock, module: &str, step: &Step, file: &str, upward: &[super::config::Upward]) {
        for found in upward {
            let target = path::resolve(&step.folder, &found.rest);
            let files = &stock.shelf(step.place).files;
            let is_packed = |target: &String| {
                let lies_in = step.place == Place::Mirror || path::below(target, module).is_some();
                lies_in && files.range(target.clone()..).next().is_some_and(|(file, _)| path::below(file, target).is_some())
            };
            if !target.as_ref().is_some_and(is_packed) {
                let more = if found.whole { "" } else { "…" };
                self.notes.push(Note::Warning(format!(
                    "{file}:{}: '${{path.module}}{}{more}' is not in the package, which has the module's folder and the modules it calls; move it \
                     into the module's folder",
                    found.line, found.rest
                )));
            }
        }
    }

    /// What a call leads to, fetched.
    fn call(&mut self, stock: &mut Stock, module: &str, step: &Step, file: &str, call: &Call) -> Result<Option<Step>, PackageError> {
        let at = format!("{file}:{}", call.line);
        if call.source == Source::Computed {
            let text = format!("{at}: the source of module '{}' is computed; whatever it names is not looked for", call.name);
            self.notes.push(Note::Warning(text));
        }
        if let Source::Address { text, .. } = &call.source
            && [".\\", "..\\"].iter().any(|start| text.starts_with(start))
        {
            let remedy = format!("which is a folder on Windows only and is not packed; write '{}'", text.replace('\\', "/"));
            self.notes.push(Note::Warning(format!("{at}: module '{}' has the source '{text}', {remedy}", call.name)));
        }
        let (Some(address), Source::Address { inside, .. }) = (call.source.local(), &call.source) else { return Ok(None) };
        let wrong = |why| CallError { at: at.clone(), name: call.name.clone(), address: address.to_owned(), why };
        // OpenTofu follows the links of a called folder (`internal/initwd/module_install.go`), and what it calls is relative to where it lies.
        let real = stock.tree.locate(&stock.tree.root().join(&step.folder)).unwrap_or_else(|_| step.folder.clone());
        let Some(target) = path::resolve(&real, address) else {
            return self.blame(step.strict, wrong(Why::Outside).into()).map(|()| None);
        };
        let place = if step.place == Place::Own && path::below(&target, module).is_some() { Place::Own } else { Place::Mirror };
        if place == Place::Mirror && !stock.mirror.folders.contains_key(&target) {
            if !stock.tree.has_folder(&target) {
                return self.blame(step.strict, wrong(Why::Missing(path::shown(&target).to_owned())).into()).map(|()| None);
            }
            if let Err(error) = stock.take(Place::Mirror, &target) {
                return self.blame(step.strict, error).map(|()| None);
            }
        }
        if !stock.shelf(place).folders.contains_key(&target) {
            let shown = path::shown(&target).to_owned();
            let why = if stock.tree.has_folder(&target) { Why::Empty(shown) } else { Why::Missing(shown) };
            return self.blame(step.strict, wrong(why).into()).map(|()| None);
        }
        if place == Place::Mirror {
            self.mirrored.insert(target.clone());
        }
        // In the package a link is a folder like any other.
        if place != step.place || path::resolve(&step.folder, address).as_ref() != Some(&target) {
            let packed = |place, folder: &str| match place {
                Place::Own => path::below(folder, module).unwrap_or(folder).to_owned(),
                Place::Mirror => path::join(MIRROR, folder),
            };
            let new = path::way(&packed(step.place, &step.folder), &packed(place, &target));
            self.notes.push(Note::Info(format!("{at}: module '{}': source '{address}' is packed as '{new}'", call.name)));
            let quoted = quote(&new, Syntax::of(path::name(file)));
            self.edits.entry((step.place, file.to_owned())).or_default().0.insert(inside.start, (inside.clone(), quoted));
        }
        Ok(Some(Step { place, folder: target, strict: step.strict }))
    }
}

/// Text as it stands between quotes.
fn quote(text: &str, syntax: Option<Syntax>) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    if syntax == Some(Syntax::Native) { text.replace("${", "$${").replace("%{", "%%{") } else { text }
}
