//! Every bound the product has, with its unit and its reason.
//!
//! A limit that a person may meet is named in the error it causes. Nothing
//! else in the tree holds a bare number that bounds something.

use std::time::Duration;

/// Longest repository name, in bytes: the distribution specification's advice
/// (host and name together within 255) leaves this much for the name.
pub const REPOSITORY_NAME_BYTES: usize = 200;
/// Longest tag, in bytes (distribution specification, `<reference>` grammar).
pub const TAG_BYTES: usize = 128;
/// Largest manifest that is accepted, in bytes: what the distribution
/// specification asks registries to take, and the peers' cap.
pub const MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Manifests up to this size live inside the database, larger ones in a file,
/// so that the tree (and the time to reopen it after a crash) stays small.
pub const MANIFEST_INLINE_BYTES: usize = 16 * 1024;
/// Most entries (`layers` or `manifests`) one manifest may name.
pub const MANIFEST_ENTRIES: usize = 10_000;
/// Deepest nesting of indexes that is followed.
pub const INDEX_DEPTH: usize = 8;
/// Most manifests in one closure that a promotion or a mirror follows.
pub const CLOSURE_MANIFESTS: usize = 4_096;
/// Largest JSON body on the management API, in bytes.
pub const API_BODY_BYTES: usize = 1024 * 1024;
/// Most tags in one `PUT manifest` (`?tag=` parameters); the specification
/// asks for at least 10.
pub const TAG_PARAMETERS: usize = 32;

/// Largest page of a listing.
pub const PAGE_ENTRIES: usize = 10_000;
/// Page of a listing when `n` is absent.
pub const PAGE_DEFAULT_ENTRIES: usize = 1_000;

/// Most rules in one policy.
pub const POLICY_RULES: usize = 64;
/// Most values in one rule.
pub const RULE_VALUES: usize = 256;
/// Longest value of a rule, in bytes.
pub const RULE_VALUE_BYTES: usize = 512;
/// Most policies of each kind on one repository: the plan of one push stays
/// a bounded piece of work.
pub const POLICIES_PER_REPOSITORY: usize = 64;
/// Longest tag template, in bytes.
pub const TEMPLATE_BYTES: usize = 256;
/// Longest chain of promotions one push can set off.
pub const PROMOTION_HOPS: u8 = 16;

/// Longest account name, in bytes.
pub const ACCOUNT_NAME_BYTES: usize = 100;
/// Shortest password, in characters (DTR's rule).
pub const PASSWORD_MIN_CHARS: usize = 8;
/// Longest password, in bytes: argon2 reads all of it.
pub const PASSWORD_MAX_BYTES: usize = 1_024;
/// Password hashes computed at once; each takes 19 MiB for about 27 ms.
pub const PASSWORD_HASHES: usize = 2;
/// How long a verified password is remembered (under a keyed hash).
pub const PASSWORD_CACHE: Duration = Duration::from_secs(60);
/// Most remembered passwords.
pub const PASSWORD_CACHE_ENTRIES: usize = 1_024;

/// Open upload sessions of one account, so that one client cannot take all.
pub const UPLOADS_PER_ACCOUNT: usize = 256;
/// Open upload sessions in all.
pub const UPLOADS: usize = 1_024;
/// An upload session that saw no byte for this long is dropped.
pub const UPLOAD_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest blob, in bytes.
pub const BLOB_BYTES: u64 = 1 << 40;

/// Operations in one group commit: bounds how long the first of a batch waits.
pub const BATCH_OPERATIONS: usize = 512;
/// Rows one background operation may touch, so that it never stalls a push.
pub const BACKGROUND_ROWS: usize = 256;
/// Operations that may wait for the writer before senders wait.
pub const INBOX_OPERATIONS: usize = 4_096;
/// redb's page cache, in bytes (its own default is 1 GiB).
pub const DATABASE_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Silence after which a commit that makes the next start fast is written.
pub const QUIET_COMMIT: Duration = Duration::from_millis(200);
/// How long a file whose name is gone stays on the disk, so that a download
/// that has looked the name up can still open it. Monotonic.
pub const UNLINK_GRACE: Duration = Duration::from_secs(60);

/// Time a client has to finish its TLS handshake.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// Time a client has to send its request head.
pub const REQUEST_HEAD: Duration = Duration::from_secs(10);
/// A request body that brings no byte for this long is dropped.
pub const BODY_STALL: Duration = Duration::from_secs(60);
/// Largest request head, in bytes.
pub const REQUEST_HEAD_BYTES: usize = 32 * 1024;
/// Connections at once, over all listeners.
pub const CONNECTIONS: usize = 4_096;
/// Time running requests get when the daemon stops.
pub const DRAIN: Duration = Duration::from_secs(30);

/// Time to connect to another registry, TLS included.
pub const REMOTE_CONNECT: Duration = Duration::from_secs(15);
/// Time another registry has to answer a request's head.
pub const REMOTE_ANSWER: Duration = Duration::from_secs(60);
/// A transfer that moves no byte for this long is given up and tried again.
pub const REMOTE_STALL: Duration = Duration::from_secs(60);
/// Redirects followed for one request; every hop is checked anew.
pub const REMOTE_REDIRECTS: usize = 5;
/// Largest answer read into memory from another registry that is no manifest
/// (tokens, tag pages, errors), in bytes.
pub const REMOTE_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Most tags taken from one remote repository.
pub const REMOTE_TAGS: usize = 200_000;
/// Blobs in flight at once for one image.
pub const REMOTE_PARALLEL_BLOBS: usize = 4;

/// Jobs running at once.
pub const JOB_WORKERS: usize = 8;
/// Longest a failed transfer waits before it is tried again.
pub const RETRY_LONGEST: Duration = Duration::from_secs(15 * 60);
/// First wait after a failure.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Finished jobs that are kept.
pub const JOBS_KEPT: usize = 10_000;
/// Lines of log one job keeps.
pub const JOB_LOG_LINES: u32 = 1_000;
/// Events that are kept behind the reactor's cursor.
pub const EVENTS_KEPT: u64 = 100_000;
/// Past values of one tag that are kept.
pub const TAG_HISTORY: usize = 100;
/// How often the sweep looks for tags that no verdict covers.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Default schedule of a pull mirror: DTR's every 30 minutes, at a second of
/// the policy's own so that a fleet does not poll at once.
pub const PULL_MIRROR_EVERY: Duration = Duration::from_secs(30 * 60);

// Configuration and the command line.

/// Largest configuration or certificate file that is read, in bytes.
pub const CONFIG_BYTES: u64 = 1024 * 1024;
/// Longest path of a unix socket, in bytes: `sun_path` holds 108 with its end.
pub const SOCKET_PATH_BYTES: usize = 107;
/// Longest password or token read from standard input, in bytes; more is not
/// a secret but a wrong file.
pub const STDIN_SECRET_BYTES: u64 = 64 * 1024;
/// Time the command line gives the daemon to take a connection.
pub const COMMAND_CONNECT: Duration = Duration::from_secs(10);
/// Time the command line gives the daemon to answer.
pub const COMMAND_ANSWER: Duration = Duration::from_secs(60);
/// Time the daemon has to verify all it holds, when the command line asks it
/// to: every blob is read and hashed.
pub const VERIFY_ANSWER: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest answer the command line reads into memory, in bytes.
pub const COMMAND_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How often the command line looks at a job that it waits for.
pub const JOB_POLL: Duration = Duration::from_millis(250);
