//! One request of the registry API as data: everything that path, method and
//! query say, checked. Headers and the body are the handlers' to read.

use http::Method;

use crate::http::query::Query;
use crate::limits;
use crate::oci::digest::DigestError;
use crate::oci::page::{Page, PageError};
use crate::oci::path::{V2Path, V2PathError};
use crate::oci::tag::TagError;
use crate::oci::{Algorithm, Digest, Reference, RepoName, Tag};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET /v2/`: signed in?
    Base,
    /// `GET /v2/_catalog`
    Catalog {
        /// Which part.
        page: Page,
    },
    /// `GET …/tags/list`
    Tags {
        /// Of which repository.
        repository: RepoName,
        /// Which part.
        page: Page,
    },
    /// `GET …/referrers/<digest>`
    Referrers {
        /// In which repository.
        repository: RepoName,
        /// Of which manifest.
        subject: Digest,
        /// Only of this type.
        artifact_type: Option<String>,
        /// Only after this one.
        last: Option<Digest>,
        /// At most this many.
        entries: usize,
    },
    /// `GET` or `HEAD …/manifests/<reference>`
    GetManifest {
        /// From which repository.
        repository: RepoName,
        /// Which.
        reference: Reference,
    },
    /// `PUT …/manifests/<reference>`
    PutManifest {
        /// Into which repository.
        repository: RepoName,
        /// As which.
        reference: Reference,
        /// And under these tags.
        tags: Vec<Tag>,
    },
    /// `DELETE …/manifests/<reference>`
    DeleteManifest {
        /// From which repository.
        repository: RepoName,
        /// A tag alone, or a manifest and its tags.
        reference: Reference,
    },
    /// `GET` or `HEAD …/blobs/<digest>`
    GetBlob {
        /// From which repository.
        repository: RepoName,
        /// Which.
        digest: Digest,
    },
    /// `DELETE …/blobs/<digest>`
    DeleteBlob {
        /// From which repository.
        repository: RepoName,
        /// Which.
        digest: Digest,
    },
    /// `POST …/blobs/uploads/`
    BeginUpload {
        /// Into which repository.
        repository: RepoName,
        /// Hashed with.
        algorithm: Algorithm,
    },
    /// `POST …/blobs/uploads/?digest=`: a blob in one request.
    PutBlob {
        /// Into which repository.
        repository: RepoName,
        /// Which.
        digest: Digest,
    },
    /// `POST …/blobs/uploads/?mount=`
    Mount {
        /// Into which repository.
        repository: RepoName,
        /// Which blob.
        digest: Digest,
        /// From where.
        source: MountSource,
    },
    /// `GET` and `HEAD …/blobs/uploads/<session>`
    UploadProgress(Session),
    /// `PATCH …/blobs/uploads/<session>`
    AppendUpload(Session),
    /// `PUT …/blobs/uploads/<session>?digest=`
    FinishUpload(Session, Digest),
    /// `DELETE …/blobs/uploads/<session>`
    CancelUpload(Session),
}

/// An upload session as a path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The repository it was opened for.
    pub repository: RepoName,
    /// Its id, as the client has it.
    pub id: String,
}

/// Where a blob is to be mounted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// This repository.
    Repository(RepoName),
    /// Anywhere the caller may read.
    Anywhere,
    /// A name that no repository here can have: nowhere. Clients name what
    /// they know from other registries.
    Nowhere,
}

/// Why a request is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Its path names nothing.
    #[error(transparent)]
    Path(#[from] V2PathError),
    /// That path is there for other methods.
    #[error("this path takes {allow}")]
    Method {
        /// Which.
        allow: &'static str,
    },
    /// `n`.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A digest in the query.
    #[error("`{parameter}`: {source}")]
    Digest {
        /// The name of the parameter.
        parameter: &'static str,
        /// What is wrong with it.
        source: DigestError,
    },
    /// The end of an upload without its digest.
    #[error("the last request of an upload says which blob it was: `?digest=sha256:…`")]
    NoDigest,
    /// `digest-algorithm`.
    #[error("`digest-algorithm` must be sha256 or sha512")]
    Algorithm,
    /// `tag`.
    #[error("`tag`: {0}")]
    Tag(#[from] TagError),
    /// More tags than allowed.
    #[error("{count} tags at once are too many; at most {} go with one manifest", limits::TAG_PARAMETERS)]
    TooManyTags {
        /// How many there were.
        count: usize,
    },
}

impl Call {
    /// Reads a request below `/v2`. Total.
    pub fn parse(method: &Method, after_v2: &str, query: &Query) -> Result<Self, CallError> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let read_only = || if reads { Ok(()) } else { Err(CallError::Method { allow: "GET, HEAD" }) };
        let page = || Page::parse(query.first("n"), query.first("last"));
        Ok(match V2Path::parse(after_v2)? {
            V2Path::Base => read_only().map(|()| Self::Base)?,
            V2Path::Catalog => read_only().and_then(|()| Ok(Self::Catalog { page: page()? }))?,
            V2Path::Tags(repository) => read_only().and_then(|()| Ok(Self::Tags { repository, page: page()? }))?,
            V2Path::Referrers(repository, subject) => {
                read_only()?;
                let entries = page()?.entries;
                let last = digest_in(query, "last")?;
                let artifact_type = query.filled("artifactType").map(str::to_owned);
                Self::Referrers { repository, subject, artifact_type, last, entries }
            }
            V2Path::Manifest(repository, reference) => match *method {
                _ if reads => Self::GetManifest { repository, reference },
                Method::PUT => Self::PutManifest { repository, reference, tags: tags(query)? },
                Method::DELETE => Self::DeleteManifest { repository, reference },
                _ => return Err(CallError::Method { allow: "GET, HEAD, PUT, DELETE" }),
            },
            V2Path::Blob(repository, digest) => match *method {
                _ if reads => Self::GetBlob { repository, digest },
                Method::DELETE => Self::DeleteBlob { repository, digest },
                _ => return Err(CallError::Method { allow: "GET, HEAD, DELETE" }),
            },
            V2Path::Uploads(repository) => match *method {
                Method::POST => begin(repository, query)?,
                _ => return Err(CallError::Method { allow: "POST" }),
            },
            V2Path::Upload(repository, id) => {
                let session = Session { repository, id };
                match *method {
                    _ if reads => Self::UploadProgress(session),
                    Method::PATCH => Self::AppendUpload(session),
                    Method::PUT => Self::FinishUpload(session, digest_in(query, "digest")?.ok_or(CallError::NoDigest)?),
                    Method::DELETE => Self::CancelUpload(session),
                    _ => return Err(CallError::Method { allow: "GET, HEAD, PATCH, PUT, DELETE" }),
                }
            }
        })
    }

    /// Its name in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Base => "v2.base",
            Self::Catalog { .. } => "v2.catalog",
            Self::Tags { .. } => "v2.tags",
            Self::Referrers { .. } => "v2.referrers",
            Self::GetManifest { .. } => "v2.manifest.get",
            Self::PutManifest { .. } => "v2.manifest.put",
            Self::DeleteManifest { .. } => "v2.manifest.delete",
            Self::GetBlob { .. } => "v2.blob.get",
            Self::DeleteBlob { .. } => "v2.blob.delete",
            Self::BeginUpload { .. } => "v2.upload.begin",
            Self::PutBlob { .. } => "v2.blob.put",
            Self::Mount { .. } => "v2.blob.mount",
            Self::UploadProgress(_) => "v2.upload.progress",
            Self::AppendUpload(_) => "v2.upload.append",
            Self::FinishUpload(..) => "v2.upload.finish",
            Self::CancelUpload(_) => "v2.upload.cancel",
        }
    }

    /// Whether it changes what others can see: worth a line to the operator.
    /// What comes before the last request of an upload is not.
    pub const fn changes(&self) -> bool {
        match self {
            Self::PutManifest { .. }
            | Self::DeleteManifest { .. }
            | Self::DeleteBlob { .. }
            | Self::PutBlob { .. }
            | Self::Mount { .. }
            | Self::FinishUpload(..) => true,
            Self::Base
            | Self::Catalog { .. }
            | Self::Tags { .. }
            | Self::Referrers { .. }
            | Self::GetManifest { .. }
            | Self::GetBlob { .. }
            | Self::BeginUpload { .. }
            | Self::UploadProgress(_)
            | Self::AppendUpload(_)
            | Self::CancelUpload(_) => false,
        }
    }
}

/// The three things that a POST can begin. A mount that cannot be had becomes
/// an ordinary upload, so its digest decides the algorithm.
fn begin(repository: RepoName, query: &Query) -> Result<Call, CallError> {
    if let Some(digest) = digest_in(query, "mount")? {
        let source = match query.filled("from").map(str::parse) {
            None => MountSource::Anywhere,
            Some(Ok(name)) => MountSource::Repository(name),
            Some(Err(_)) => MountSource::Nowhere,
        };
        return Ok(Call::Mount { repository, digest, source });
    }
    if let Some(digest) = digest_in(query, "digest")? {
        return Ok(Call::PutBlob { repository, digest });
    }
    let algorithm = match query.filled("digest-algorithm") {
        None => Algorithm::Sha256,
        Some(text) => text.parse().map_err(|_| CallError::Algorithm)?,
    };
    Ok(Call::BeginUpload { repository, algorithm })
}

fn digest_in(query: &Query, parameter: &'static str) -> Result<Option<Digest>, CallError> {
    let parsed = query.filled(parameter).map(str::parse).transpose();
    parsed.map_err(|source| CallError::Digest { parameter, source })
}

fn tags(query: &Query) -> Result<Vec<Tag>, CallError> {
    let count = query.all("tag").count();
    if count > limits::TAG_PARAMETERS {
        return Err(CallError::TooManyTags { count });
    }
    let mut tags: Vec<Tag> = Vec::new();
    for text in query.all("tag") {
        let tag = text.parse()?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}
