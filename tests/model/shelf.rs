//! What is pushed: few things that have much to do with each other, so that
//! random acts meet.

use std::collections::BTreeSet;

use tidegate::oci::Digest;

/// A blob that clients send.
pub(crate) const LAYERS: usize = 4;

/// A manifest that clients send.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    /// The blob without which it is refused.
    pub(crate) config: Option<Digest>,
    /// The layers that it names.
    pub(crate) layers: Vec<Digest>,
    /// The manifests that it has as entries.
    pub(crate) entries: Vec<Digest>,
    /// What it is attached to.
    pub(crate) subject: Option<Digest>,
}

/// All there is.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) blobs: Vec<(Vec<u8>, Digest)>,
    pub(crate) things: Vec<Thing>,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let blob = |text: String| {
            let digest = Digest::sha256_of(text.as_bytes());
            (text.into_bytes(), digest)
        };
        let mut blobs: Vec<_> = (0..LAYERS).map(|number| blob(format!("layer {number}"))).collect();
        let config = blob(r#"{"architecture":"amd64","os":"linux"}"#.to_owned());
        blobs.push(config.clone());
        let mut things = Vec::new();
        // Images that share layers.
        for layers in [[0, 1], [1, 2], [2, 3]] {
            let layers: Vec<_> = layers.iter().map(|at| blobs[*at].clone()).collect();
            things.push(image(&config, &layers, None));
        }
        // An index of two, an index that shares one with it, an index of an index.
        things.push(index(&[&things[0], &things[1]], None));
        things.push(index(&[&things[1], &things[2]], None));
        things.push(index(&[&things[3]], None));
        // A signature of an image, of an index, and of that signature.
        let signature = blobs[3].clone();
        things.push(image(&config, std::slice::from_ref(&signature), Some(&things[0])));
        things.push(image(&config, std::slice::from_ref(&signature), Some(&things[3])));
        things.push(image(&config, std::slice::from_ref(&signature), Some(&things[6])));
        // A ring: an index that is attached to its own entry.
        things.push(index(&[&things[2]], Some(&things[2])));
        Self { blobs, things }
    }

    pub(crate) fn thing(&self, digest: &Digest) -> &Thing {
        self.things.iter().find(|thing| thing.digest == *digest).expect("it is on the shelf")
    }
}

impl Thing {
    /// The blobs that it names.
    pub(crate) fn blobs(&self) -> BTreeSet<Digest> {
        self.config.iter().chain(&self.layers).copied().collect()
    }

    /// What a client relies on when it sends this.
    pub(crate) fn relied_on(&self) -> BTreeSet<Digest> {
        self.blobs().into_iter().chain(self.entries.iter().copied()).chain(self.subject).collect()
    }
}

fn image(config: &(Vec<u8>, Digest), layers: &[(Vec<u8>, Digest)], subject: Option<&Thing>) -> Thing {
    let one = |kind: &str, (bytes, digest): &(Vec<u8>, Digest)| {
        format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let list: Vec<_> = layers.iter().map(|layer| one("layer.v1.tar", layer)).collect();
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]{}}}"#,
        one("config.v1+json", config),
        list.join(","),
        attached(subject),
    )
    .into_bytes();
    Thing {
        digest: Digest::sha256_of(&bytes),
        bytes,
        config: Some(config.1),
        layers: layers.iter().map(|(_, digest)| *digest).collect(),
        entries: Vec::new(),
        subject: subject.map(|subject| subject.digest),
    }
}

fn index(entries: &[&Thing], subject: Option<&Thing>) -> Thing {
    let list: Vec<_> = entries.iter().map(|entry| descriptor(entry)).collect();
    let bytes = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]{}}}"#,
        list.join(","),
        attached(subject),
    )
    .into_bytes();
    Thing {
        digest: Digest::sha256_of(&bytes),
        bytes,
        config: None,
        layers: Vec::new(),
        entries: entries.iter().map(|entry| entry.digest).collect(),
        subject: subject.map(|subject| subject.digest),
    }
}

fn attached(subject: Option<&Thing>) -> String {
    subject.map_or(String::new(), |subject| format!(r#","subject":{}"#, descriptor(subject)))
}

fn descriptor(thing: &Thing) -> String {
    let kind = if thing.config.is_some() { "manifest" } else { "index" };
    let (digest, size) = (thing.digest, thing.bytes.len());
    format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}.v1+json","digest":"{digest}","size":{size}}}"#)
}
