//! The law of the rows: a module names only modules of earlier rows.
//!
//! Every file that the library is made of is parsed, from `src/lib.rs` down its
//! `mod` lines, and every path in it that leads to another top-level module is
//! held against [`ROWS`]: `use`, paths in code, in types and attributes, and
//! what can be seen of macros. Modules of one row do not see each other; only
//! `limits`, which is constants and names nothing, is open to all. Code that
//! only tests compile may look anywhere.
//!
//! Three rules of the house are held here as well, because they need the same
//! walk: every file opens with `//!`, nothing is `allow`ed (an exception is an
//! `expect` with its reason), and the store changes files in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, Token, UseTree};

/// The rows, lowest first. `src/lib.rs` lists the same modules under the same
/// numbers.
const ROWS: &[&[&str]] = &[
    &["backoff", "chance", "clock", "json", "limits", "secret"],
    &["lifecycle", "oci", "telemetry"],
    &["access", "event"],
    &["audit", "policy"],
    &["remote", "store"],
    &["identity"],
    &["registry"],
    &["jobs"],
    &["reactor"],
    &["http"],
    &["config"],
    &["app"],
    &["cli"],
];

/// Constants and nothing else: everybody may name them.
const CONSTANTS: &str = "limits";

/// A rule that is broken, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

#[test]
fn modules_name_only_modules_of_earlier_rows() {
    let mut tree = Tree::default();
    tree.follow(&root().join("src"), &root().join("src/lib.rs"), &[], false);
    assert!(tree.files.len() > 100, "the walk ended early: {} files", tree.files.len());
    hold(&tree.violations);
}

#[test]
fn every_file_is_part_of_the_library_and_opens_with_what_it_is_for() {
    let mut tree = Tree::default();
    tree.follow(&root().join("src"), &root().join("src/lib.rs"), &[], false);
    let mut broken = Vec::new();
    for file in sources(&root().join("src")).into_iter().chain(sources(&root().join("tests"))) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let mut say = |what: &str| broken.push(Violation { file: short(&file), line: 1, what: what.to_owned() });
        if !text.starts_with("//!") {
            say("the file does not open with `//!`");
        }
        if file.starts_with(root().join("src")) && file != root().join("src/main.rs") && !tree.files.contains(&file) {
            say("no `mod` line leads to this file");
        }
    }
    hold(&broken);
}

#[test]
fn nothing_is_allowed() {
    let mut broken = Vec::new();
    for file in sources(&root().join("src")).into_iter().chain(sources(&root().join("tests"))) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let tokens: TokenStream = text.parse().expect("tokens");
        find_allow(tokens, &mut |line| {
            let what = "`allow` hides a finding for good; `#[expect(.., reason = \"..\")]` says why".to_owned();
            broken.push(Violation { file: short(&file), line, what });
        });
    }
    hold(&broken);
}

/// What a power cut leaves is decided by calls that `store::medium` makes, so
/// that the tests of power cuts see every one of them. A backup is another
/// folder, and code for tests may do what it likes.
#[test]
fn the_store_changes_files_through_its_medium_alone() {
    let store = root().join("src/store");
    let mut broken = Vec::new();
    for file in sources(&store) {
        let is_test = file.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("_test"));
        if is_test || file == store.join("medium.rs") || file.starts_with(store.join("backup")) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file");
        let mut changes = Changes { file: short(&file), found: Vec::new() };
        changes.visit_file(&syn::parse_file(&text).expect("a source file"));
        broken.append(&mut changes.found);
    }
    // Opened for reading alone, past the page cache.
    broken.retain(|violation| !(violation.file.ends_with("file/inspect.rs") && violation.what.contains("OpenOptions")));
    hold(&broken);
    for (text, caught) in [
        ("fn f() { std::fs::rename(a, b); }", true),
        ("use std::fs; fn f() { fs::remove_file(a); }", true),
        ("use std::fs::{self, OpenOptions};", true),
        ("fn f() { File::create(a); }", true),
        ("fn f() { file.sync_all(); }", true),
        ("fn f() { rustix::fs::fallocate(a, b, c, d); }", true),
        ("fn f() { std::fs::read_dir(a); File::open(b); medium.rename(c, d); medium.sync_names(e); }", false),
        ("#[cfg(test)] mod tests { fn f() { std::fs::write(a, b); } }", false),
    ] {
        let mut changes = Changes { file: PathBuf::new(), found: Vec::new() };
        changes.visit_file(&syn::parse_file(text).expect("a text"));
        assert_eq!(!changes.found.is_empty(), caught, "{text}");
    }
}

/// Looks for calls that change something on the file system.
struct Changes {
    file: PathBuf,
    found: Vec<Violation>,
}

/// Functions that do, by the module or type that they are of.
const CHANGING: &[(&str, &[&str])] = &[
    ("fs", &["write", "rename", "remove_file", "remove_dir", "remove_dir_all", "create_dir", "create_dir_all"]),
    ("fs", &["copy", "hard_link", "set_permissions", "fallocate", "ftruncate", "renameat", "unlinkat", "mkdirat"]),
    ("fs", &["OpenOptions", "DirBuilder"]),
    ("File", &["create", "create_new", "options"]),
];
/// Methods that do.
const CHANGING_METHODS: &[&str] = &["sync_all", "set_permissions", "set_modified"];

impl Changes {
    fn meet(&mut self, segments: &[String], line: usize) {
        for pair in segments.windows(2) {
            if CHANGING.iter().any(|(of, names)| pair[0] == *of && names.contains(&pair[1].as_str())) {
                self.say(&pair.join("::"), line);
            }
        }
    }

    fn say(&mut self, call: &str, line: usize) {
        let what = format!("`{call}` changes the file system; `store::medium` does that");
        self.found.push(Violation { file: self.file.clone(), line, what });
    }

    fn meet_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.meet_use(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.meet(&with(&name.ident), name.ident.span().start().line),
            UseTree::Rename(name) => self.meet(&with(&name.ident), name.ident.span().start().line),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.meet_use(tree, before)),
            UseTree::Glob(_) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Changes {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.meet_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.meet(&segments, line);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        if CHANGING_METHODS.contains(&name.as_str()) {
            self.say(&format!(".{name}()"), call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }
}

#[test]
fn the_map_in_lib_rs_shows_these_rows() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let mut shown: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let mut row = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("// Row ") {
            row = rest.split(':').next().and_then(|number| number.parse().ok());
        } else if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            let row = row.unwrap_or_else(|| panic!("lib.rs lists `{name}` under no `// Row N:`"));
            shown.entry(row).or_default().push(name);
        }
    }
    let held: BTreeMap<usize, Vec<&str>> = ROWS.iter().map(|row| row.to_vec()).enumerate().collect();
    assert_eq!(shown, held);
}

#[test]
fn a_made_up_violation_is_caught() {
    // (the module that the text is in, the text, the modules it must not name)
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&["store", "write"], "use crate::registry::Caller;", &["registry"]),
        (
            &["store", "write"],
            "use crate::{limits, registry::{self, Caller}, http::State as S};",
            &["registry", "registry", "http"],
        ),
        (&["store"], "fn f() { crate::remote::push(); }", &["remote"]),
        (&["store", "write"], "use super::super::jobs;", &["jobs"]),
        (&["store", "write"], "mod inner { use super::super::super::jobs::Runner; }", &["jobs"]),
        (&["store"], "type T = Vec<Option<crate::app::App>>;", &["app"]),
        (&["store"], "impl From<crate::cli::CliError> for u8 {}", &["cli"]),
        (&["store"], "fn f() { println!(\"{}\", crate::reactor::NAME); }", &["reactor"]),
        (&["store"], "macro_rules! m { () => { $crate::jobs::run() } }", &["jobs"]),
        (&["store"], "fn f() { matches!(x, crate::http::{A}) }", &["http"]),
        (&["store"], "pub(in crate::registry) fn f() {}", &["registry"]),
        (&["clock"], "use crate::chance::Id;", &["chance"]),
        (&["remote"], "use crate::store::Store;", &["store"]),
        (&["policy"], "use crate::*;", &["*"]),
        (&["policy"], "use crate as tidegate;", &["(the whole crate)"]),
        (&["policy"], "use ::tidegate::store::Store;", &["store"]),
        (&["policy"], "#[serde(with = \"crate::store::text\")] struct S;", &["store"]),
        (&["store"], "#[cfg(not(test))] use crate::jobs::Runner;", &["jobs"]),
        (&["store"], "#[cfg(any(test, unix))] use crate::jobs::Runner;", &["jobs"]),
    ];
    for (module, text, expected) in cases {
        let named: Vec<String> = check(module, text).into_iter().map(|violation| violation.what).collect();
        assert_eq!(named.len(), expected.len(), "{text}: {named:?}");
        for (what, expected) in named.iter().zip(*expected) {
            assert!(what.contains(&format!("`{expected}`")), "{text}: {what}");
        }
    }
    let fine: &[(&[&str], &str)] = &[
        (&["store", "write"], "use crate::{clock::Clock, limits}; use super::read::Read; fn f() { self::g(); }"),
        (&["store"], "#[cfg(test)] mod tests { use super::*; use crate::cli; }"),
        (&["store"], "#[cfg(all(test, debug_assertions))] use crate::registry::Caller;"),
        (&["store"], "#[test] fn f() { crate::http::serve(); }"),
        (&["store"], "pub(crate) fn f() { let crate_ = 1; other::crate_::registry(); }"),
        (&["backoff"], "use crate::limits;"),
        (&["cli"], "use crate::{app, config, http, store};"),
    ];
    for (module, text) in fine {
        assert_eq!(check(module, text), [], "{text}");
    }
    let lines = check(&["store"], "//! About.\n\nuse crate::limits;\nuse crate::registry::Caller;\n");
    assert_eq!(lines.iter().map(|violation| violation.line).collect::<Vec<_>>(), [4]);
    assert!(check(&["shelf"], "").iter().any(|violation| violation.what.contains("no row")));
    let mut found = Vec::new();
    let text =
        "#![allow(dead_code)]\n#[cfg_attr(unix, allow(x))] fn f() {}\n#[expect(x, reason = \"\")] fn allow() {}\n";
    find_allow(text.parse().expect("tokens"), &mut |line| found.push(line));
    assert_eq!(found, [1, 2]);
}

/// The library's module tree, as far as it was followed.
#[derive(Default)]
struct Tree {
    files: BTreeSet<PathBuf>,
    violations: Vec<Violation>,
}

impl Tree {
    /// Checks the file of `module` and those that its `mod` lines lead to.
    /// `folder` is where those files lie; `tests_only` code may look anywhere.
    fn follow(&mut self, folder: &Path, file: &Path, module: &[String], tests_only: bool) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.files.insert(file.to_owned());
        if !module.is_empty() && !tests_only {
            let mut looker = Looker::new(short(file), module);
            looker.visit_file(&parsed);
            self.violations.append(&mut looker.found);
        }
        self.descend(folder, &parsed.items, module, tests_only);
    }

    fn descend(&mut self, folder: &Path, items: &[Item], module: &[String], tests_only: bool) {
        for item in items {
            let Item::Mod(item) = item else { continue };
            assert!(!item.attrs.iter().any(|a| a.path().is_ident("path")), "`#[path]` hides where a module lies");
            let name = item.ident.to_string();
            let module: Vec<String> = module.iter().cloned().chain([name.clone()]).collect();
            let tests_only = tests_only || is_for_tests(&item.attrs);
            let inner = folder.join(&name);
            match &item.content {
                Some((_, items)) => self.descend(&inner, items, &module, tests_only),
                None => {
                    let candidates = [folder.join(format!("{name}.rs")), inner.join("mod.rs")];
                    let file = candidates.iter().find(|file| file.exists());
                    let file = file.unwrap_or_else(|| panic!("`mod {name};` leads to no file in {}", folder.display()));
                    self.follow(&inner, file, &module, tests_only);
                }
            }
        }
    }
}

/// Looks through one file for paths to other top-level modules.
struct Looker {
    file: PathBuf,
    /// The top-level module it belongs to, and its row.
    home: String,
    row: Option<usize>,
    /// Where the walk is, from the crate's root.
    module: Vec<String>,
    found: Vec<Violation>,
}

impl Looker {
    fn new(file: PathBuf, module: &[String]) -> Self {
        let home = module[0].clone();
        let row = row_of(&home);
        let mut looker = Self { file, home, row, module: module.to_vec(), found: Vec::new() };
        if row.is_none() {
            let what = format!("the module `{}` has no row: give it one in {}", looker.home, file!());
            looker.found.push(Violation { file: looker.file.clone(), line: 1, what });
        }
        looker
    }

    /// A path that begins with `segments` stands at `line`.
    fn meet(&mut self, segments: &[String], line: usize) {
        let Some((target, rest)) = self.resolve(segments) else { return };
        let shown = segments.join("::");
        let refused = match target.as_deref() {
            None => Some(("(the whole crate)".to_owned(), "name the modules one by one")),
            Some("*") => Some(("*".to_owned(), "name the modules one by one")),
            Some(name) if name == self.home || name == CONSTANTS => None,
            // A macro or another item of the crate's root, not a module.
            Some(name) if row_of(name).is_none() && rest == 0 => None,
            Some(name) => match (row_of(name), self.row) {
                (None, _) => Some((name.to_owned(), "it has no row")),
                (Some(_), None) => None,
                (Some(theirs), Some(ours)) if theirs < ours => None,
                (Some(theirs), Some(ours)) if theirs == ours => Some((name.to_owned(), "it stands in the same row")),
                (Some(_), Some(_)) => Some((name.to_owned(), "it stands in a later row")),
            },
        };
        if let Some((name, why)) = refused {
            let what = format!("`{}` must not name `{name}`: {why} ({shown})", self.home);
            self.found.push(Violation { file: self.file.clone(), line, what });
        }
    }

    /// The top-level module that a path leads to (`None` inside: the crate's
    /// root itself), with how many segments follow; `None` when the path does
    /// not leave this module or is not ours.
    fn resolve(&self, segments: &[String]) -> Option<(Option<String>, usize)> {
        let first = segments.first()?.as_str();
        let mut at = match first {
            "crate" | "tidegate" => Vec::new(),
            "super" | "self" => self.module.clone(),
            _ => return None,
        };
        let mut rest = segments.iter().skip(usize::from(first != "super")).peekable();
        while rest.peek().is_some_and(|segment| *segment == "super") {
            at.pop();
            rest.next();
        }
        let rest: Vec<&String> = rest.collect();
        if let Some(top) = at.first() {
            return Some((Some(top.clone()), rest.len()));
        }
        match rest.split_first() {
            None => Some((None, 0)),
            Some((name, rest)) if *name == "self" && rest.is_empty() => Some((None, 0)),
            Some((name, rest)) => Some((Some((*name).clone()), rest.len())),
        }
    }

    fn meet_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.meet_use(&path.tree, &with(path.ident.to_string())),
            UseTree::Name(name) => self.meet(&with(name.ident.to_string()), name.ident.span().start().line),
            UseTree::Rename(rename) => self.meet(&with(rename.ident.to_string()), rename.ident.span().start().line),
            UseTree::Glob(glob) => self.meet(&with("*".to_owned()), glob.star_token.spans[0].start().line),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.meet_use(tree, before)),
        }
    }

    /// Paths in tokens that the parser does not look into: macros, attributes.
    fn meet_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.meet_tokens(group.stream()),
                TokenTree::Ident(first) if matches!(first.to_string().as_str(), "crate" | "super") => {
                    let continues = at > 1 && is_colons(&tokens[at - 2..at]);
                    let mut segments = vec![first.to_string()];
                    let line = first.span().start().line;
                    while tokens.len() > at + 3 && is_colons(&tokens[at + 1..at + 3]) {
                        match &tokens[at + 3] {
                            TokenTree::Ident(next) => segments.push(next.to_string()),
                            // `crate::{a, b}` in a macro: each of them.
                            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                                for name in names_in(group.stream()) {
                                    let path: Vec<_> = segments.iter().cloned().chain([name]).collect();
                                    self.meet(&path, line);
                                }
                                segments.clear();
                            }
                            TokenTree::Punct(star) if star.as_char() == '*' => segments.push("*".to_owned()),
                            _ => break,
                        }
                        at += 3;
                    }
                    if segments.len() > 1 && !continues {
                        self.meet(&segments, line);
                    }
                }
                // A path in a text, as serde takes it.
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                        && let Ok(path) = text.parse::<syn::Path>()
                        && path.segments.len() > 1
                    {
                        self.meet_path(&path, literal.span().start().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    fn meet_path(&mut self, path: &syn::Path, line: usize) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.meet(&segments, line);
        }
    }
}

impl<'ast> Visit<'ast> for Looker {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes_of(item)) {
            return;
        }
        match item {
            Item::Use(item) => self.meet_use(&item.tree, &[]),
            Item::Mod(inner) if inner.content.is_some() => {
                self.module.push(inner.ident.to_string());
                visit::visit_item(self, item);
                self.module.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.segments.first().map_or(0, |segment| segment.ident.span().start().line);
        self.meet_path(path, line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.meet_tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.meet_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

/// What a text in `module` must not name.
fn check(module: &[&str], text: &str) -> Vec<Violation> {
    let module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    let mut looker = Looker::new(PathBuf::from("made-up.rs"), &module);
    looker.visit_file(&syn::parse_file(text).expect("a file"));
    looker.found
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// Whether only tests compile what stands under these attributes.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.is_ident("test")
            || path.is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(needs_test)),
        Meta::List(_) | Meta::NameValue(_) => false,
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(a), TokenTree::Punct(b)]
        if a.as_char() == ':' && a.spacing() == Spacing::Joint && b.as_char() == ':')
}

/// The first names of a braced list.
fn names_in(tokens: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_first = true;
    for token in tokens {
        match token {
            TokenTree::Ident(name) if is_first => names.push(name.to_string()),
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                is_first = true;
                continue;
            }
            _ => {}
        }
        is_first = false;
    }
    names
}

/// Calls `found` with the line of every `allow(..)` in an attribute.
fn find_allow(tokens: TokenStream, found: &mut impl FnMut(usize)) {
    fn inside(tokens: TokenStream, in_attribute: bool, found: &mut impl FnMut(usize)) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].to_string());
                    let opens = group.delimiter() == Delimiter::Bracket
                        && (before(1).as_deref() == Some("#")
                            || before(1).as_deref() == Some("!") && before(2).as_deref() == Some("#"));
                    inside(group.stream(), in_attribute || opens, found);
                }
                TokenTree::Ident(name) if in_attribute && name == "allow" => {
                    if matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) {
                        found(name.span().start().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
    inside(tokens, false, found);
}

fn hold(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} broken rules:\n{}", lines.len(), lines.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn short(file: &Path) -> PathBuf {
    file.strip_prefix(root()).unwrap_or(file).to_owned()
}

/// All `.rs` files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
