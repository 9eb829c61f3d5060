//! The entries of an index as its bytes describe them: for listings, which
//! repeat a descriptor whole. What a registry follows is in [`crate::oci::Links`].

use serde::Deserialize;

use super::Descriptor;

#[derive(Deserialize)]
struct Entries {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// The descriptors in an index. Bytes that are none have none: whoever stored
/// them has checked them.
pub fn entries(bytes: &[u8]) -> Vec<Descriptor> {
    serde_json::from_slice::<Entries>(bytes).map(|index| index.manifests).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    #[test]
    fn entries_keep_their_type_and_annotations() {
        let digest = Digest::sha256_of(b"x");
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"a/b","digest":"{digest}","size":3,"artifactType":"t","annotations":{{"k":"v"}},"x":1}}]}}"#
        );
        let found = entries(index.as_bytes());
        assert_eq!((found[0].digest, found[0].artifact_type.as_deref()), (digest, Some("t")));
        assert_eq!(found[0].annotations["k"], "v");
        assert_eq!((entries(b"{}").len(), entries(b"no").len()), (0, 0));
    }
}
