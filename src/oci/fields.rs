//! The members of manifests, indexes and descriptors that clients know: all
//! that the image specification and Docker's schema 2 define, with their types.

use crate::json::{Field, Shape};

const PLATFORM: Shape = Shape::Object(&[
    Field("architecture", Shape::Text),
    Field("os", Shape::Text),
    Field("os.version", Shape::Text),
    Field("os.features", Shape::List(&Shape::Text)),
    Field("variant", Shape::Text),
    Field("features", Shape::List(&Shape::Text)),
]);

const DESCRIPTOR: Shape = Shape::Object(&[
    Field("mediaType", Shape::Text),
    Field("digest", Shape::Text),
    Field("size", Shape::Size),
    Field("urls", Shape::List(&Shape::Text)),
    Field("annotations", Shape::Texts),
    Field("data", Shape::Base64),
    Field("platform", PLATFORM),
    Field("artifactType", Shape::Text),
]);

/// Of an image manifest and an index alike: which of them it is depends on the
/// members.
pub(super) const MANIFEST: Shape = Shape::Object(&[
    // Has words of its own when it is wrong.
    Field("schemaVersion", Shape::Any),
    Field("mediaType", Shape::Text),
    Field("artifactType", Shape::Text),
    Field("config", DESCRIPTOR),
    Field("layers", Shape::List(&DESCRIPTOR)),
    Field("manifests", Shape::List(&DESCRIPTOR)),
    Field("subject", DESCRIPTOR),
    Field("annotations", Shape::Texts),
    // By this, clients know Docker's schema 1.
    Field("fsLayers", Shape::Any),
]);
