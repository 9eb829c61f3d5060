//! A file system that forgets.
//!
//! It takes the acts of a store one by one, as the store's medium tells of
//! them, and says what is there when the power goes after any of them.
//!
//! **Bytes.** What is written is seen at once and durable at the next sync of
//! its file. When the power goes, each write since then is kept, dropped, or
//! torn: kept in some of its sectors and dropped in the others; and those that
//! overlap may land in any order. Changes of length are kept or dropped, in
//! order, because a file system journals them; writes are not moved across one.
//!
//! **Names.** A name that is made, moved or removed is durable at the next sync
//! of its folder; until then each such change is kept or dropped by itself. In
//! one power cut of three they are kept up to one of them, as by a journal. A
//! move is one step: never both names, never neither. A folder whose own name
//! is lost is lost with all that is in it, whatever was synced there. That is
//! harsher than ext4, where a sync takes along what the journal has before it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Component, Path};

use tidegate::store::medium::{Act, Handle};

use crate::dice::Dice;

/// The piece of a write that lands whole.
const SECTOR: usize = 512;

/// What a path below the disk's root leads to, as an index into the disk's
/// nodes.
type Node = usize;

/// The folder that the disk is.
const ROOT: Node = 0;

/// The disk as the program sees it, with what a power cut would leave.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    nodes: Vec<Content>,
    open: HashMap<Handle, Node>,
    /// Changes of names that are not durable, in order.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Content {
    Folder { seen: Names, durable: Names },
    File { seen: usize, durable: Vec<u8>, pending: Vec<Pending> },
}

type Names = BTreeMap<OsString, Node>;

/// What happens to names in one step.
type Change = Vec<(Node, OsString, Option<Node>)>;

#[derive(Clone, Debug)]
enum Pending {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![folder()], open: HashMap::new(), changes: Vec::new() }
    }
}

fn folder() -> Content {
    Content::Folder { seen: Names::new(), durable: Names::new() }
}

impl Disk {
    /// Does one act; `root` is where the disk's folder stands in its paths. What
    /// cannot be done changes nothing, as on a real one.
    pub(crate) fn act(&mut self, root: &Path, act: &Act<'_>) {
        match *act {
            Act::MakeFolder(path) => {
                if self.find(root, path).is_none() {
                    self.make(root, path, folder());
                }
            }
            Act::Create(path, handle) => {
                let node = self.find(root, path);
                if let Some(node) = node {
                    self.resize(node, 0);
                }
                let file = Content::File { seen: 0, durable: Vec::new(), pending: Vec::new() };
                if let Some(node) = node.or_else(|| self.make(root, path, file)) {
                    self.open.insert(handle, node);
                }
            }
            Act::CreateNew(path, handle) => {
                if self.find(root, path).is_none() {
                    self.act(root, &Act::Create(path, handle));
                }
            }
            Act::Open(path, handle) => {
                if let Some(node) = self.find(root, path) {
                    self.open.insert(handle, node);
                }
            }
            Act::Write(handle, offset, data) => self.write(self.open[&handle], place(offset), data),
            Act::SetLength(handle, length) => self.resize(self.open[&handle], place(length)),
            // What is there is as long as before, or has zeros at its end that
            // nobody reads.
            Act::Allocate(..) => {}
            Act::SyncBytes(handle) => self.sync_bytes(self.open[&handle]),
            Act::SyncNames(path) => {
                if let Some(node) = self.find(root, path) {
                    self.sync_names(node);
                }
            }
            Act::Rename(from, to) => {
                if let (Some(node), Some(old), Some(new)) =
                    (self.find(root, from), self.slot(root, from), self.slot(root, to))
                {
                    self.change(vec![(old.0, old.1, None), (new.0, new.1, Some(node))]);
                }
            }
            Act::Remove(path) | Act::RemoveFolder(path) => {
                if let (Some(_), Some((parent, name))) = (self.find(root, path), self.slot(root, path)) {
                    self.change(vec![(parent, name, None)]);
                }
            }
        }
    }

    /// The disk after the power came back: all that it has is durable.
    pub(crate) fn survive(&self, dice: &Dice) -> Self {
        // How much is lost differs from cut to cut: all of it and nothing of it
        // are as likely as something in between.
        let keep = dice.below(5);
        let mut names: HashMap<Node, Names> = HashMap::new();
        for (node, content) in self.nodes.iter().enumerate() {
            if let Content::Folder { durable, .. } = content {
                names.insert(node, durable.clone());
            }
        }
        let journal = dice.one_in(3).then(|| dice.below(self.changes.len() + 1));
        for (at, change) in self.changes.iter().enumerate() {
            if journal.map_or_else(|| dice.below(4) < keep, |kept| at < kept) {
                for (parent, name, node) in change {
                    set(names.get_mut(parent).expect("a folder"), name, *node);
                }
            }
        }
        let mut after = Self::default();
        self.copy(&names, ROOT, ROOT, &mut after, keep, dice);
        after
    }

    /// Makes real files of what is durable, in the folder `path`, which is there.
    pub(crate) fn lay(&self, path: &Path) {
        self.lay_node(ROOT, path);
    }

    /// Whether no change to a name waits for a sync.
    #[cfg(test)]
    fn has_all_names(&self) -> bool {
        self.changes.is_empty()
    }

    fn lay_node(&self, node: Node, path: &Path) {
        match &self.nodes[node] {
            Content::File { durable, .. } => std::fs::write(path, durable).expect("a file is laid"),
            Content::Folder { durable, .. } => {
                if node != ROOT {
                    std::fs::create_dir(path).expect("a folder is laid");
                }
                for (name, node) in durable {
                    self.lay_node(*node, &path.join(name));
                }
            }
        }
    }

    /// Copies what is left of `from` into `into`, where it is the node `to`.
    fn copy(&self, names: &HashMap<Node, Names>, from: Node, to: Node, into: &mut Self, keep: usize, dice: &Dice) {
        for (name, node) in &names[&from] {
            let content = match &self.nodes[*node] {
                Content::Folder { .. } => folder(),
                Content::File { durable, pending, .. } => {
                    let durable = land_all(durable.clone(), pending, keep, dice);
                    Content::File { seen: durable.len(), durable, pending: Vec::new() }
                }
            };
            let is_folder = matches!(content, Content::Folder { .. });
            into.nodes.push(content);
            let copied = into.nodes.len() - 1;
            let Content::Folder { seen, durable } = &mut into.nodes[to] else { unreachable!("names are in folders") };
            seen.insert(name.clone(), copied);
            durable.insert(name.clone(), copied);
            if is_folder {
                self.copy(names, *node, copied, into, keep, dice);
            }
        }
    }

    fn find(&self, root: &Path, path: &Path) -> Option<Node> {
        let mut at = ROOT;
        for part in path.strip_prefix(root).ok()?.components() {
            let (Component::Normal(name), Content::Folder { seen, .. }) = (part, &self.nodes[at]) else { return None };
            at = *seen.get(name)?;
        }
        Some(at)
    }

    /// The folder that a name is in, and the name.
    fn slot(&self, root: &Path, path: &Path) -> Option<(Node, OsString)> {
        Some((self.find(root, path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn make(&mut self, root: &Path, path: &Path, content: Content) -> Option<Node> {
        let (parent, name) = self.slot(root, path)?;
        self.nodes.push(content);
        let node = self.nodes.len() - 1;
        self.change(vec![(parent, name, Some(node))]);
        Some(node)
    }

    fn change(&mut self, change: Change) {
        for (parent, name, node) in &change {
            let Content::Folder { seen, .. } = &mut self.nodes[*parent] else { unreachable!("names are in folders") };
            set(seen, name, *node);
        }
        self.changes.push(change);
    }

    fn sync_names(&mut self, node: Node) {
        let waiting = std::mem::take(&mut self.changes);
        for change in waiting {
            if change.iter().all(|(parent, ..)| *parent != node) {
                self.changes.push(change);
                continue;
            }
            for (parent, name, to) in change {
                // What happened to the name before is no longer of interest.
                for earlier in &mut self.changes {
                    earlier.retain(|(at, of, _)| (*at, of) != (parent, &name));
                }
                let Content::Folder { durable, .. } = &mut self.nodes[parent] else { continue };
                set(durable, &name, to);
            }
        }
        self.changes.retain(|change| !change.is_empty());
    }

    fn write(&mut self, node: Node, offset: usize, data: &[u8]) {
        if let Content::File { seen, pending, .. } = &mut self.nodes[node] {
            *seen = (*seen).max(offset + data.len());
            pending.push(Pending::Write { offset, data: data.to_vec() });
        }
    }

    fn resize(&mut self, node: Node, length: usize) {
        if let Content::File { seen, pending, .. } = &mut self.nodes[node]
            && *seen != length
        {
            *seen = length;
            pending.push(Pending::Length(length));
        }
    }

    fn sync_bytes(&mut self, node: Node) {
        if let Content::File { durable, pending, .. } = &mut self.nodes[node] {
            for pending in pending.drain(..) {
                match pending {
                    Pending::Write { offset, data } => put(durable, offset, &data),
                    Pending::Length(length) => durable.resize(length, 0),
                }
            }
        }
    }
}

fn set(names: &mut Names, name: &OsString, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.clone(), node),
        None => names.remove(name),
    };
}

/// Lets some of what is pending reach the bytes of a file.
fn land_all(mut image: Vec<u8>, pending: &[Pending], keep: usize, dice: &Dice) -> Vec<u8> {
    let mut run: Vec<(usize, &[u8])> = Vec::new();
    for pending in pending {
        match pending {
            Pending::Write { offset, data } => run.push((*offset, data)),
            Pending::Length(length) => {
                land(&mut image, &mut run, keep, dice);
                if dice.below(4) < keep {
                    image.resize(*length, 0);
                }
            }
        }
    }
    land(&mut image, &mut run, keep, dice);
    image
}

/// Lets some of a run of writes land, in any order.
fn land(image: &mut Vec<u8>, run: &mut Vec<(usize, &[u8])>, keep: usize, dice: &Dice) {
    dice.shuffle(run);
    for (offset, data) in run.drain(..) {
        let is_torn = dice.one_in(4);
        if !is_torn && dice.below(4) >= keep {
            continue;
        }
        let mut at = 0;
        while at < data.len() {
            // Sectors are those of the disk, not of the write.
            let end = data.len().min(at + SECTOR - (offset + at) % SECTOR);
            if !is_torn || dice.one_in(2) {
                put(image, offset + at, &data[at..end]);
            }
            at = end;
        }
    }
}

fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("the disk is small")
}

/// A disk, and the paths that acts on it have.
#[cfg(test)]
struct Tried(Disk);

#[cfg(test)]
impl Tried {
    fn act(&mut self, acts: &[Act<'_>]) {
        for act in acts {
            self.0.act(Path::new("/d"), act);
        }
    }

    /// The bytes of a file in what survives, by each of many seeds.
    fn outcomes(&self, path: &str) -> Vec<Option<Vec<u8>>> {
        let outcome = |seed| {
            let after = self.0.survive(&Dice::new(seed));
            let node = after.find(Path::new("/d"), Path::new(path))?;
            match &after.nodes[node] {
                Content::File { durable, .. } => Some(durable.clone()),
                Content::Folder { .. } => Some(Vec::new()),
            }
        };
        (0..200).map(outcome).collect()
    }
}

#[test]
fn the_disk_keeps_bytes_that_were_synced_and_may_lose_the_rest() {
    let (root, file) = (Path::new("/d"), Path::new("/d/file"));
    let mut disk = Tried(Disk::default());
    let handle = Handle(1);
    disk.act(&[Act::Create(file, handle), Act::SyncNames(root), Act::SetLength(handle, 4096)]);
    disk.act(&[Act::Write(handle, 0, &[1; 2048]), Act::SyncBytes(handle), Act::Write(handle, 1024, &[2; 2048])]);
    assert!(disk.0.has_all_names());
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for bytes in disk.outcomes("/d/file") {
        let bytes = bytes.expect("its name was synced");
        assert_eq!(bytes[..1024], [1; 1024], "synced, and not written since");
        assert_eq!(bytes[3072..], [0; 1024], "never written");
        match bytes[1024..3072].iter().filter(|&&byte| byte == 2).count() {
            0 => lost += 1,
            2048 => kept += 1,
            part => torn += usize::from(part % SECTOR == 0),
        }
    }
    assert_eq!(kept + lost + torn, 200, "only whole sectors land");
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn the_disk_keeps_names_whose_folder_was_synced_and_may_lose_the_rest() {
    let root = Path::new("/d");
    let (from, to, deep) = (Path::new("/d/a/x"), Path::new("/d/b/y"), Path::new("/d/b"));
    let mut disk = Tried(Disk::default());
    disk.act(&[Act::MakeFolder(Path::new("/d/a")), Act::MakeFolder(deep), Act::SyncNames(root)]);
    disk.act(&[Act::Create(from, Handle(1)), Act::Write(Handle(1), 0, b"z"), Act::SyncBytes(Handle(1))]);
    let count = |outcomes: &[Option<Vec<u8>>]| outcomes.iter().flatten().count();
    let before = count(&disk.outcomes("/d/a/x"));
    assert!(before > 20 && before < 180, "a name that nobody synced is there now and then: {before}");
    disk.act(&[Act::Rename(from, to)]);
    for (old, new) in disk.outcomes("/d/a/x").iter().zip(disk.outcomes("/d/b/y")) {
        assert!(old.is_none() || new.is_none(), "one file has two names");
    }
    disk.act(&[Act::SyncNames(deep)]);
    assert_eq!(disk.outcomes("/d/b/y"), vec![Some(b"z".to_vec()); 200]);
    assert_eq!(count(&disk.outcomes("/d/a/x")), 0, "it was moved");
    disk.act(&[Act::Remove(to)]);
    let after = count(&disk.outcomes("/d/b/y"));
    assert!(after > 20 && after < 180, "a removal that nobody synced: {after}");
    disk.act(&[Act::MakeFolder(Path::new("/d/c")), Act::Create(Path::new("/d/c/f"), Handle(2))]);
    disk.act(&[Act::SyncBytes(Handle(2)), Act::SyncNames(Path::new("/d/c"))]);
    let lost = 200 - count(&disk.outcomes("/d/c/f"));
    assert!(lost > 20, "the folder's own name was not synced");
}
