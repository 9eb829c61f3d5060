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
/// Most indexes that lie in each other, the outermost included; images do not
/// count.
pub const INDEX_DEPTH: usize = 8;
/// Most manifests in one closure that a promotion or a mirror follows.
pub const CLOSURE_MANIFESTS: usize = 4_096;
/// Manifests above one that is to be removed that are looked at for a tag which
/// leads to it: some milliseconds, and pushes wait meanwhile.
pub const LEADING_MANIFESTS: usize = 1_024;
/// Longest name of a JSON member that an error repeats, in characters.
pub const SHOWN_NAME_CHARACTERS: usize = 64;
/// Largest JSON body on the management API, in bytes.
pub const API_BODY_BYTES: usize = 1024 * 1024;
/// Most tags in one `PUT manifest` (`?tag=` parameters); the specification
/// asks for at least 10.
pub const TAG_PARAMETERS: usize = 32;
/// Most tags in one repository. Each takes some 500 bytes to 2 KB of the
/// database, with its history, and no quota counts them.
pub const TAGS_PER_REPOSITORY: u64 = 1_000_000;
/// Tags that one new tag pushes out at most, where a repository keeps fewer
/// than it has: what was too much when the limit was set goes over some pushes.
pub const TAGS_PUSHED_OUT: usize = 4_096;

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
/// Longest name for people and longest line about a team, in bytes.
pub const FULL_NAME_BYTES: usize = 1_024;
/// Longest name of a team, in bytes.
pub const TEAM_NAME_BYTES: usize = 255;
/// Most teams of one organization: a user may be in all of them, and each is
/// looked at in every request that touches a repository of the organization.
pub const TEAMS_PER_ORGANIZATION: u64 = 1_000;
/// Most accounts in one import, and operations in one change of many: one
/// commit, or one request.
pub const ACCOUNTS_AT_ONCE: usize = 1_000;
/// Repositories of a namespace that are removed at once.
pub const REPOSITORIES_REMOVED: usize = 32;
/// Shortest password, in characters (DTR's rule).
pub const PASSWORD_MIN_CHARS: usize = 8;
/// Longest password, in bytes: argon2 reads all of it.
pub const PASSWORD_MAX_BYTES: usize = 1_024;
/// Password hashes computed at once; each takes 19 MiB for about 27 ms.
pub const PASSWORD_HASHES: usize = 2;
/// Passwords that wait for their hash to be computed, of those that nothing
/// speaks for: about four seconds' worth. A known account from where it was
/// right before waits beside them.
pub const PASSWORDS_WAITING: usize = 256;
/// How long a verified password is remembered (under a keyed hash).
pub const PASSWORD_CACHE: Duration = Duration::from_secs(60);
/// Most remembered passwords.
pub const PASSWORD_CACHE_ENTRIES: usize = 1_024;

/// Open upload sessions of one account, so that one client cannot take all.
pub const UPLOADS_PER_ACCOUNT: usize = 256;
/// Open upload sessions in all.
pub const UPLOADS: usize = 1_024;
/// An upload session that nobody has touched for this long may be dropped to
/// make room for another.
pub const UPLOAD_ABANDONED: Duration = Duration::from_secs(60);
/// An upload session that saw no byte for this long is dropped.
pub const UPLOAD_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a request waits for another one that writes to the same upload.
pub const UPLOAD_BUSY: Duration = Duration::from_secs(5);
/// Largest blob, in bytes.
pub const BLOB_BYTES: u64 = 1 << 40;

/// Operations in one group commit: bounds how long the first of a batch waits.
pub const BATCH_OPERATIONS: usize = 512;
/// Rows one background operation may touch, so that it never stalls a push.
pub const BACKGROUND_ROWS: usize = 256;
/// Operations that may wait for the writer before senders wait.
pub const INBOX_OPERATIONS: usize = 4_096;
/// Longest that a commit waits for operations that were announced, however long
/// the last one took: a disk that stalls once does not slow what comes after.
pub const ANNOUNCED_WAIT: Duration = Duration::from_millis(50);
/// Operations that nobody waits for and that may ride on the next commit; those
/// beyond are handed in again by whoever wanted them.
pub const RIDERS: usize = 256;
/// redb's page cache, in bytes (its own default is 1 GiB).
pub const DATABASE_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Silence after which what nobody waits for is committed, and with it what
/// makes the next start fast.
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
/// Bytes of request bodies in memory at once, beyond the first
/// [`SMALL_BODY_BYTES`] of each: twelve of the largest manifests.
pub const BODIES_BYTES: u32 = 48 * 1024 * 1024;
/// The first bytes of a body, which wait for no large one: most have no more.
pub const SMALL_BODY_BYTES: usize = 8 * 1024;
/// Those bytes of all bodies together.
pub const SMALL_BODIES_BYTES: u32 = 8 * 1024 * 1024;
/// Bytes of bodies in memory at once whose senders have no name: five hundred of
/// the largest, some ten thousand sign-ins.
pub const STRANGERS_BODIES_BYTES: u32 = 8 * 1024 * 1024;
/// How long a body waits for room when others hold all of it.
pub const BODY_ROOM_WAIT: Duration = Duration::from_secs(2);
/// How often it looks for one that has been coming for too long.
pub const BODY_ROOM_LOOK: Duration = Duration::from_millis(100);
/// A body that has been coming for this long is given up when another finds no
/// room: over a link that is not slow, 4 MiB are here by then.
pub const BODY_ROOM_GRACE: Duration = Duration::from_secs(1);
/// Bytes a second that a request body has to bring, while it is waited for: a
/// seventh of a telephone modem's.
pub const BODY_SLOWEST: u64 = 1_024;
/// The time over which that is measured.
pub const BODY_SLOWEST_OVER: Duration = Duration::from_secs(60);
/// Largest request head, in bytes.
pub const REQUEST_HEAD_BYTES: usize = 32 * 1024;
/// Connections at once, over all listeners.
pub const CONNECTIONS: usize = 4_096;
/// Connections that are taken however few descriptors there are.
pub const CONNECTIONS_LEAST: usize = 8;
/// Descriptors that are asked for, where the system allows as many: each
/// connection may need two.
pub const DESCRIPTORS: u64 = 65_536;
/// Descriptors that are kept for the daemon's own: the database, the local
/// socket and its clients, jobs and what they send.
pub const DESCRIPTORS_OWN: u64 = 224;
/// Threads for work that blocks: files and password hashes. With the others
/// they stay well under the unit's `TasksMax`.
pub const BLOCKING_THREADS: usize = 64;
/// How long such a thread waits for more work before it ends.
pub const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(10);
/// Time that work which blocks gets after everything else has ended.
pub const SHUTDOWN: Duration = Duration::from_secs(5);
/// Time running requests get when the daemon stops.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Time the listeners get: that, and some to cut what is left. The unit's
/// `TimeoutStopSec` is above the sum of these and [`SHUTDOWN`].
pub const DRAIN_REQUESTS: Duration = Duration::from_secs(35);
/// Time jobs get to reach a safe point.
pub const DRAIN_JOBS: Duration = Duration::from_secs(35);
/// Time connections to other registries get after the jobs that used them.
pub const DRAIN_OUTGOING: Duration = Duration::from_secs(1);
/// The shortest RSA key that TLS takes, in bits.
pub const RSA_BITS: usize = 2048;
/// The most that can be asked to be kept free: more is a slip, and would
/// refuse every upload.
pub const KEEP_MOST_BYTES: u64 = 1 << 50;
/// Open files without which nothing can be begun: less than a runtime has and
/// one connection.
pub const OPEN_FILES_LEAST: u64 = 32;

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
/// Past values and removals of one tag that are kept.
pub const TAG_HISTORY: usize = 100;
/// How long they are kept by default, counted from when they ended: a quarter,
/// in which somebody asks who it was. Never shorter than manifests without a tag
/// are ([`UNTAGGED_KEPT`]): a tag is set back to what its history names.
pub const TAG_HISTORY_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often blob files that no row names are looked for: a crash leaves some,
/// and so does a client that goes away between its last byte and the answer.
pub const ORPHANS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Files without a name that a crash may leave: those are removed whatever
/// part of all they are.
pub const ORPHANS_USUAL: usize = 64;
/// Beyond [`ORPHANS_USUAL`], more than one file in this many without a name is
/// a database that lost its names, and nothing is removed without consent.
pub const ORPHANS_FUSE: usize = 5;
/// How often the sweep looks for tags that no verdict covers.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Default schedule of a pull mirror: DTR's every 30 minutes, at a second of
/// the policy's own so that a fleet does not poll at once.
pub const PULL_MIRROR_EVERY: Duration = Duration::from_secs(30 * 60);

// Blob files and upload sessions (`store::file`).

/// Bytes of one request body that are gathered before the body is read no
/// further; while they are written the next are gathered, so that one upload
/// holds twice this (1 MiB) at most.
pub const UPLOAD_BATCH_BYTES: usize = 512 * 1024;
/// Bytes that are worth a trip to the blocking pool while more may come: a
/// client that trickles holds this much memory and no thread.
pub const UPLOAD_HANDOVER_BYTES: usize = 64 * 1024;
/// Chunks of a body smaller than this are copied together before they are
/// written; larger ones are written as they came.
pub const UPLOAD_COALESCE_BYTES: usize = 32 * 1024;
/// Written bytes after which the disk is asked to start on them, so that the
/// sync at the end finds little left. Measured with 512 MiB hashed while
/// written: the last sync took 6 ms instead of 350, and the whole was no
/// slower; syncing at every step instead took up to twice as long.
pub const UPLOAD_WRITEBACK_BYTES: u64 = 8 * 1024 * 1024;
/// Largest session file of an upload, in bytes: a repository name and an
/// owner fit many times over.
pub const SESSION_FILE_BYTES: u64 = 4 * 1024;
/// Bytes read at a time when a file is hashed again.
pub const HASH_BUFFER_BYTES: usize = 512 * 1024;
/// First chunk of a download, in bytes: what a slow reader holds.
pub const READ_FIRST_BYTES: usize = 16 * 1024;
/// Largest chunk of a download, in bytes: past this, larger reads gain nothing.
pub const READ_LARGEST_BYTES: usize = 512 * 1024;
/// Bytes that all downloads hold together; beyond it each holds one chunk of
/// [`READ_FIRST_BYTES`]. Enough for eight quick clients.
pub const READ_LENT_BYTES: usize = 8 * 1024 * 1024;
/// A client that takes a chunk within this time gets one twice the size next.
pub const READ_QUICK: Duration = Duration::from_millis(100);
/// A client that takes longer than this over a chunk gets one half the size next.
pub const READ_SLOW: Duration = Duration::from_millis(400);
// Policies.

/// Rules that a stored reason of an allowed tag spells out; the rest are
/// counted. Verdicts live as long as their tags and must stay small.
pub const REASON_CHECKS: usize = 8;
/// Values of one rule that a stored reason spells out; the rest are counted.
pub const REASON_VALUES: usize = 4;
/// Longest free text inside a stored reason, in bytes.
pub const REASON_DETAIL_BYTES: usize = 512;
/// Longest schedule, in bytes: room for long lists in all six fields.
pub const SCHEDULE_BYTES: usize = 512;
/// Shortest interval of `@every`: schedules have whole seconds.
pub const SCHEDULE_EVERY_SHORTEST: Duration = Duration::from_secs(1);
/// Longest interval of `@every`: beyond a year it is a typing error.
pub const SCHEDULE_EVERY_LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Nominal times looked at for one next run. More than one is needed only
/// where clocks go back: at most one a second of the time that repeats, which
/// is never a whole day of 86 400.
pub const SCHEDULE_SEARCH_SLOTS: usize = 90_000;
/// Loops reported when a policy is saved: a warning, not a census.
pub const LOOPS_REPORTED: usize = 8;
// Identity.

/// Largest key or certificate file that is read, in bytes: a long chain has
/// tens of kilobytes.
pub const KEY_FILE_BYTES: u64 = 1024 * 1024;
/// Most keys in one sealing key file; each replacement keeps the ones before.
pub const SEALING_KEYS: usize = 64;
/// Time between two looks for a sealing key that is missing: whoever puts it
/// back watches.
pub const SEALING_KEY_LOOK: Duration = Duration::from_secs(5);
/// Mirrors whose credentials are sealed anew in one commit: pushes go between.
pub const REKEY_SLICE: usize = 16;
/// Most mirrors that are named beside a sealing key.
pub const SEALED_SHOWN: usize = 20;
/// Days a made certificate lasts: the most that clients accept from a private
/// authority (Apple's rule is the strictest).
pub const CERTIFICATE_DAYS: u32 = 825;
/// Days the made authority lasts: ten years, so that trust is set up once in
/// the life of a box.
pub const AUTHORITY_DAYS: u32 = 3_652;
/// How often the files of an operator's certificate are looked at.
pub const CERTIFICATE_LOOK: Duration = Duration::from_secs(60);
/// How often it is looked at whether a made certificate is to be renewed.
pub const CERTIFICATE_RENEWAL_LOOK: Duration = Duration::from_secs(6 * 60 * 60);
/// How long before its end a certificate is warned of.
pub const CERTIFICATE_WARN_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often.
pub const CERTIFICATE_WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Most names in one made certificate: a handshake carries them all.
pub const CERTIFICATE_NAMES: usize = 100;

// Listeners and connections.

/// Connections at once on one local socket. Apart from [`CONNECTIONS`], so that
/// a flood over the network never locks the administrator out.
pub const LOCAL_CONNECTIONS: usize = 64;
/// Pause after an accept that failed for want of descriptors or memory.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Read buffer of one HTTP/1 connection, in bytes: the head must fit, and a
/// body is read in pieces of up to this.
pub const CONNECTION_BUFFER_BYTES: usize = 256 * 1024;
/// A response that the client takes no byte of for this long is dropped.
pub const RESPONSE_STALL: Duration = Duration::from_secs(60);
/// Bytes a second that a client has to take of a response, over the time that the
/// response waits for it: as slow as a request body may be.
pub const RESPONSE_SLOWEST: u64 = 1_024;
/// The time over which that is measured.
pub const RESPONSE_SLOWEST_OVER: Duration = Duration::from_secs(60);
/// Answers up to this size go to the connection as they are; larger ones in
/// pieces of it, so that a client which takes nothing holds one in memory.
pub const ANSWER_PIECE_BYTES: usize = 64 * 1024;
/// Bytes of answers larger than that which may be in memory at once: sixteen of
/// the largest manifests, or the largest pages of fifty clients.
pub const LARGE_ANSWERS_BYTES: u32 = 64 * 1024 * 1024;
/// How long a request waits for its turn when there are so many.
pub const LARGE_ANSWERS_WAIT: Duration = Duration::from_secs(10);
/// Bytes that an entry of a listing is taken to have, name and punctuation.
pub const LISTED_ENTRY_BYTES: u32 = 160;
/// Bytes of one page of referrers: annotations come along, and may have as many
/// as a manifest. The next page begins where this one is full.
pub const REFERRERS_PAGE_BYTES: usize = 1024 * 1024;
/// Requests a second that one client may send: more than two cores answer, so
/// that nobody who means well meets it, and one that runs wild on a large host
/// leaves something to the others.
pub const REQUESTS_PER_SECOND: u32 = 100_000;
/// Seconds' worth of them that a client which was quiet may send at once.
pub const REQUESTS_BURST_SECONDS: u32 = 10;
/// Clients whose requests are counted at once; of more, those that are quiet are
/// forgotten.
pub const REQUESTS_CLIENTS: usize = 16_384;
/// An HTTP/2 connection without a request for this long is closed.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(120);
/// Requests at once on one HTTP/2 connection.
pub const STREAMS: u32 = 100;
/// Streams that a client may open and reset before we looked at them (the
/// rapid reset attack, CVE-2023-44487).
pub const STREAMS_RESET: usize = 20;
/// Bytes of one request body over HTTP/2 that wait to be read: half a megabyte
/// keeps 40 Mbit/s busy at 100 ms.
pub const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// Bytes of all request bodies of one HTTP/2 connection that wait to be read.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of one HTTP/2 response buffered ahead of the client.
pub const STREAM_SEND_BYTES: usize = 256 * 1024;
/// How often an HTTP/2 client is asked whether it is still there.
pub const PING_EVERY: Duration = Duration::from_secs(30);
/// Time an HTTP/2 client has to answer that.
pub const PING_ANSWER: Duration = Duration::from_secs(20);
/// Time a body that is read into memory has to be whole, however steadily it
/// drips.
pub const BODY_WHOLE: Duration = Duration::from_secs(5 * 60);
/// Longest path of a unix socket, in bytes (`sun_path` less its end mark).
pub const SOCKET_PATH_BYTES: usize = 107;
// ---- other registries: the parts of a conversation

/// Longest host name, in bytes (RFC 1035 §2.3.4).
pub const REMOTE_HOST_BYTES: usize = 253;
/// Addresses of one name that are tried before a connection is given up.
pub const REMOTE_ADDRESSES: usize = 8;
/// Time another registry has to answer once it has all of a blob: it may be
/// hashing it, or copying it inside its object store.
pub const REMOTE_COMMIT: Duration = Duration::from_secs(5 * 60);
/// Time to read the whole body of an answer that is no blob, however steadily
/// it trickles: 8 MiB in this time is a very slow link.
pub const REMOTE_READ: Duration = Duration::from_secs(10 * 60);
/// A pooled connection that is not used for this long is closed: before
/// the 60 s after which common proxies close it from their side.
pub const REMOTE_IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept to one host.
pub const REMOTE_IDLE_CONNECTIONS: usize = 8;
/// Connection pools kept at once, one for each kind of trust.
pub const REMOTE_POOLS: usize = 64;
/// Bytes in flight on one HTTP/2 stream: a slow link with a long way needs
/// more than the protocol's 64 KiB.
pub const REMOTE_STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Most of an error's body that is read, in bytes.
pub const REMOTE_ERROR_BYTES: usize = 8 * 1024;
/// Warnings of one answer that are looked at.
pub const REMOTE_WARNINGS: usize = 8;
/// Warnings that are remembered, so that each is logged once.
pub const REMOTE_WARNINGS_REMEMBERED: usize = 256;
/// Longest text of another registry that is repeated in an error, in characters.
pub const REMOTE_MESSAGE_CHARS: usize = 256;
/// Longest named wait (`Retry-After`) that is passed on.
pub const REMOTE_WAIT_LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Tags asked for in one page; some registries refuse more.
pub const REMOTE_TAGS_PAGE: usize = 1_000;
/// Most pages of tags that are followed.
pub const REMOTE_TAGS_PAGES: usize = 4_096;
/// Longest `WWW-Authenticate` header that is read, in bytes.
pub const REMOTE_CHALLENGE_BYTES: usize = 8 * 1024;
/// Life of a token that names none (distribution, "Token Authentication").
pub const REMOTE_TOKEN_DEFAULT: Duration = Duration::from_secs(60);
/// A token is not used this shortly before its end.
pub const REMOTE_TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// Longest a token is kept, whatever it says of itself.
pub const REMOTE_TOKEN_LONGEST: Duration = Duration::from_secs(60 * 60);
/// Longest token, in bytes: it has to fit into a request's head.
pub const REMOTE_TOKEN_BYTES: usize = 32 * 1024;
/// Most tokens kept for one remote repository (one a scope).
pub const REMOTE_TOKENS: usize = 64;
/// Longest custom CA bundle, in bytes.
pub const REMOTE_CA_BYTES: usize = 512 * 1024;
// Configuration and the command line.

/// Largest configuration or certificate file that is read, in bytes.
pub const CONFIG_BYTES: u64 = 1024 * 1024;
/// Longest password or token read from standard input, in bytes; more is not
/// a secret but a wrong file.
pub const STDIN_SECRET_BYTES: u64 = 64 * 1024;
/// Time the command line gives the daemon to take a connection.
pub const COMMAND_CONNECT: Duration = Duration::from_secs(10);
/// Time the command line gives the daemon to answer.
pub const COMMAND_ANSWER: Duration = Duration::from_secs(60);
/// How often it is logged that files are missing.
pub const MISSING_FILE_TELL: Duration = Duration::from_secs(60);
/// Time the daemon has for one answer to `verify`: all names, or one slice of
/// the files. A slice is at least one file, and that may be large.
pub const VERIFY_ANSWER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a slice of files is hashed before the next is asked for: often
/// enough to show how far it is.
pub const VERIFY_SLICE: Duration = Duration::from_millis(500);
/// Files that one slice has at most: small ones take no time, but a place in a
/// list each.
pub const VERIFY_SLICE_FILES: usize = 1_000;
/// Largest answer the command line reads into memory, in bytes.
pub const COMMAND_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How often the command line looks at a job that it waits for.
pub const JOB_POLL: Duration = Duration::from_millis(250);

// Requests.

/// Longest request id that is taken over from a client, in bytes.
pub const REQUEST_ID_BYTES: usize = 128;
/// Bytes of a body that is not wanted which are read all the same, so that the
/// client is still there to hear why; more is cut with the connection.
pub const UNWANTED_BODY_BYTES: u64 = 4 * 1024 * 1024;
/// Time a client has to send them.
pub const UNWANTED_BODY: Duration = Duration::from_secs(2);
/// What a client is told to wait when something has to be finished first.
pub const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);
/// What a client is told to wait when bytes are damaged here and are asked for
/// elsewhere.
pub const RETRY_AFTER_DAMAGED: Duration = Duration::from_secs(60);
/// What a client is told to wait when somebody has to make room.
pub const RETRY_AFTER_FULL: Duration = Duration::from_secs(60);

/// Failed sign-ins that are logged one by one in a window; those beyond are
/// counted, so that who guesses passwords fills no disk.
pub const SIGN_IN_FAILURES_LOGGED: u32 = 30;
/// That window.
pub const SIGN_IN_FAILURES_WINDOW: Duration = Duration::from_secs(60);
/// Rows of the audit log for one window of failed sign-ins; the rest is one row
/// more. Whoever guesses for three days pushes out what was guessed before.
pub const SIGN_IN_FAILURE_ROWS: usize = 24;
/// Answers of 500 or above that are logged one by one in a window, of those that
/// are our failure and of those that the client can wait out each.
pub const TURNED_AWAY_LOGGED: u32 = 30;
/// That window.
pub const TURNED_AWAY_WINDOW: Duration = Duration::from_secs(60);

// Management API.

/// Highest tag limit of a repository: its tags are looked through for the
/// oldest each time that a new one comes, and who brings it waits for that.
pub const TAG_LIMIT: u64 = 10_000;

/// Highest quota, in bytes: beyond it programs that take a number of JSON for a
/// double would read another one.
pub const QUOTA_BYTES: u64 = 1 << 53;
/// How often an upload of unknown length is held against the quotas, in bytes:
/// each time reads a few rows.
pub const RESERVE_STEP_BYTES: u64 = 1024 * 1024;
/// How long an upload that no request works on keeps others from the room that
/// it has set aside: a client that sends in chunks is back by then, and one that
/// lost its connection begins anew no sooner (docker after 5 s).
pub const RESERVED_IDLE: Duration = Duration::from_secs(3);
/// Rows that are counted in one commit where a data folder has no counters.
pub const COUNT_ROWS: usize = 256;

/// Entries of a list when no page size is asked for: DTR's.
pub const API_PAGE_ENTRIES: usize = 10;
/// Images of one index whose sizes a listing adds up: more than there are
/// platforms.
pub const SIZED_ENTRIES: usize = 64;
/// Tags that one preview of a policy decides about when no page size is asked for.
pub const PREVIEW_TAGS: usize = 1_000;
/// Accounts that are read from one snapshot while they are listed.
pub const ACCOUNT_SLICE: usize = 1_000;

// Collection.

/// Manifests or blobs that one step of collection looks at, and so the most
/// rows that one of its commits can touch in one repository: small, because a
/// push may wait for it.
pub const COLLECT_ROWS: usize = 128;
/// How long a client that was told that a blob or a manifest is here may take
/// until it puts the manifest that names it.
pub const CLAIM: Duration = Duration::from_secs(60 * 60);
/// How long what a push has brought, or was told is here, is spared by a
/// collection that was told to spare nothing: a client goes from its last layer
/// to its manifest in less.
pub const PUSH_UNDER_WAY: Duration = Duration::from_secs(60);
/// Blobs and manifests that clients were told are here and that are remembered;
/// with more, collection pauses for [`CLAIM`].
pub const CLAIMS: usize = 65_536;
/// Those of one account; with more, the older half of its own goes.
pub const CLAIMS_OF_ONE: usize = CLAIMS / 4;
/// How long a blob that no manifest names is kept by default: the longest push.
pub const COLLECT_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a manifest that no tag leads to is kept by default, counted from
/// when it lost its last tag: the time in which a tag can be set back.
pub const UNTAGGED_KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// A collection that would remove more than one part in this many of all bytes
/// wants somebody's consent.
pub const COLLECT_FUSE: u64 = 5;

// A disk that fills up.

/// The high-water mark on disks where a twentieth is less than this, in bytes;
/// on one of less than eight times this, an eighth of it.
pub const KEEP_BYTES: u64 = 512 * 1024 * 1024;
/// Least and most files that must be possible still, where the file system
/// bounds them (a hundredth of all, between these).
pub const KEEP_INODES_LEAST: u64 = 64;
/// See [`KEEP_INODES_LEAST`].
pub const KEEP_INODES_MOST: u64 = 100_000;
/// Bytes set aside for deletes on a disk that others have filled.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;
/// The database grows with room behind it by up to this much at a time.
pub const DATABASE_AHEAD_BYTES: u64 = 64 * 1024 * 1024;
/// How long those who read have to finish when the database is opened again.
pub const READERS_DRAIN: Duration = Duration::from_secs(2);
/// How often the room on the disk is looked at when nobody writes.
pub const DISK_LOOK: Duration = Duration::from_secs(1);
/// How often the database is opened again after a write failed for want of
/// room, before the daemon gives up and is started anew.
pub const REOPEN_TRIES: usize = 20;
/// Pause between two of those tries.
pub const REOPEN_WAIT: Duration = Duration::from_millis(500);
// Jobs and mirrors: what one slow or hostile remote may hold.

/// Jobs running at once against one remote: the others have their turn
/// whatever it does.
pub const JOB_WORKERS_PER_REMOTE: usize = 4;
/// Jobs beyond [`JOB_WORKERS`] that may run, each the only one of its remote:
/// so a house full of slow remotes does not keep the next one waiting.
pub const JOB_WORKERS_RESERVE: usize = 24;
/// Longest one try of a job takes before it gives its place to the next; what
/// it has moved is kept. A whole night over a link of 2 Mbit/s is 10 GB.
pub const JOB_TRY_LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// Bytes a second that a body to or from another registry has to keep: a
/// tenth of what the slowest satellite modems carry.
pub const REMOTE_SLOWEST: u64 = 256;
/// The time over which that is measured, while it is waited for.
pub const REMOTE_SLOWEST_OVER: Duration = Duration::from_secs(60);
/// A schedule brings a failed transfer forward this long after its last try;
/// an impatient schedule does not undo the back-off.
pub const HURRY_AFTER: Duration = Duration::from_secs(60);
/// Most transfers of one policy that are brought forward in one commit.
pub const HURRY_ROWS: usize = 2_048;
/// Most transfers that are looked at to say how a mirror stands.
pub const STANDING_ROWS: usize = 10_000;
/// An index whose entries have not come for this long after its tag was set is
/// sparse by intent: a push sends entries first or soon after.
pub const SPARSE_AFTER: Duration = Duration::from_secs(60 * 60);
/// Names of a remote that are no tags, repeated in the log of a look.
pub const REMOTE_TAG_EXAMPLES: usize = 5;
/// Times a change of a policy is merged again because somebody else's came
/// between. Each of them is a change that went through, so this is how many
/// may be made at once.
pub const POLICY_SAVE_TRIES: usize = 256;
// What comes later than what it belongs to.

/// Tags of one manifest whose mirrors are asked to look again.
pub const FOLLOW_TAGS: usize = 256;
/// Places that one operation of the reactor follows to: each is a closure to be
/// linked, and pushes wait meanwhile.
pub const FOLLOW_STEPS: usize = 16;
/// Repositories whose pulls are counted between two looks of the sweep; those
/// of further ones are not.
pub const PULLS_PENDING: usize = 65_536;
/// Largest request head that is read, in bytes. Beyond [`REQUEST_HEAD_BYTES`]
/// it is read to be refused in words; beyond this, without any.
pub const REQUEST_HEAD_READ_BYTES: usize = 2 * REQUEST_HEAD_BYTES;
/// Bytes of nested indexes that one pull holds in memory while it brings their
/// entries in: sixteen of the largest.
pub const CLOSURE_HELD_BYTES: usize = 16 * MANIFEST_BYTES;
// Backup and restore.

/// A piece of the stream of rows has about this many bytes.
pub const BACKUP_PIECE_BYTES: usize = 256 * 1024;
/// Longest frame of a stream of rows that is read, in bytes: a piece and the
/// longest row there can be.
pub const BACKUP_FRAME_BYTES: usize = 64 * 1024 * 1024;
/// How long the rows of a backup may take to leave: they pin pages of the
/// database, which grows meanwhile. 100 GB over a slow disk fit.
pub const BACKUP_ROWS: Duration = Duration::from_secs(60 * 60);
/// A backup that is not used for this long is over: the command line is gone,
/// and files without a name are removed again. Longer than syncing a large
/// database takes.
pub const BACKUP_IDLE: Duration = Duration::from_secs(10 * 60);
/// Backups that may be under way at once: each holds a snapshot.
pub const BACKUPS: usize = 4;
/// Files of a backup that are fetched at once, so that one is synced while
/// others come.
pub const BACKUP_FETCHES: usize = 4;
/// Files that are looked at in one go when a backup is planned.
pub const BACKUP_SLICE: usize = 1_024;
/// A file of a backup is read, hashed and written in pieces of this many bytes.
pub const BACKUP_COPY_BYTES: usize = 1024 * 1024;
/// Bytes of a file that are gathered before they are written: what arrives is
/// in smaller pieces.
pub const BACKUP_GATHER_BYTES: usize = 1024 * 1024;
/// A download of the command line that brings no byte for this long is given up.
pub const COMMAND_STALL: Duration = Duration::from_secs(60);
/// Longest name of a folder that a backup goes to, in bytes: a hash, or a path.
pub const BACKUP_FOLDER_BYTES: usize = 1024;
// Scrub: bytes that rot.

/// A file is looked at in pieces of this many bytes: what the inspector holds
/// in memory, and the longest read that a download may have to wait for.
pub const SCRUB_PIECE_BYTES: usize = 256 * 1024;
/// Bytes a second that scrub reads when nothing else is set: a tenth of what a
/// slow memory card gives, and ten terabytes in a month.
pub const SCRUB_RATE: u64 = 4 * 1024 * 1024;
/// While others read or write blobs, scrub reads at this part of its rate.
pub const SCRUB_STEP_BACK: u32 = 4;
/// A file costs as much as this many bytes at least: a disk has to look for it.
pub const SCRUB_FILE_BYTES: u64 = 64 * 1024;
/// Blobs or manifests that are read from one snapshot.
pub const SCRUB_ROWS: usize = 256;
/// How often scrub writes down where it stands: what is looked at again after
/// a restart. Each time is a commit, and memory cards wear.
pub const SCRUB_NOTE: Duration = Duration::from_secs(30);
/// How long scrub works until it gives its place to the next in line.
pub const SCRUB_TURN: Duration = Duration::from_secs(60 * 60);
/// A pass that takes longer than this says so: begun twice a month, it reads
/// some bytes less than every thirty days.
pub const SCRUB_LONGEST: Duration = Duration::from_secs(13 * 24 * 60 * 60);
/// Files one after the other that cannot be read at all: so many are not lost,
/// their disk is.
pub const SCRUB_ABSENT: usize = 32;
/// Blobs and manifests that were read and found wrong and that wait to be
/// looked at; more are found again.
pub const SUSPECTS: usize = 256;
/// Repositories that are looked through for mirrors that may have what is
/// damaged here.
pub const HEAL_PLACES: usize = 64;
/// Mirrors that are asked for one damaged blob in one go.
pub const HEAL_MIRRORS: usize = 16;
/// How long what no mirror had waits until they are asked again.
pub const HEAL_AGAIN: Duration = Duration::from_secs(6 * 60 * 60);
/// Images that a listing of the quarantine names for one entry.
pub const QUARANTINE_IMAGES: usize = 16;

// Tokens, robots and guessing.

/// How long a token of the token service holds: docker takes a new one by
/// itself, and rights are looked up with every request anyway.
pub const BEARER_TOKEN: Duration = Duration::from_secs(5 * 60);
/// How far in the future a token may have been made: clocks are set back.
pub const BEARER_TOKEN_SKEW: Duration = Duration::from_secs(60);
/// Longest token that is looked at, in bytes; ours have about 600.
pub const BEARER_TOKEN_BYTES: usize = 2_048;
/// How long what a program keeps after a sign-in in place of the password
/// holds: a machine that is used once a season signs in again.
pub const SIGN_IN_TOKEN: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long a session of the management API holds, as DTR's did.
pub const SESSION_TOKEN: Duration = Duration::from_secs(60 * 60 * 60);
/// Most tokens of an account that came of signing in; one more takes the place
/// of the one that was not used for longest.
pub const SIGN_IN_TOKENS: usize = 64;
/// Most access tokens of one account or robot.
pub const TOKENS_PER_HOLDER: usize = 1_000;
/// Longest label of an access token, and description of a robot, in bytes.
pub const TOKEN_LABEL_BYTES: usize = 256;
/// Longest name that a program calls itself that is kept, in bytes.
pub const TOKEN_AGENT_BYTES: usize = 256;
/// Uses of tokens that wait to be written down; more are not told.
pub const TOKEN_USES_PENDING: usize = 10_000;
/// Most scopes of one credential: each request looks through them.
pub const SCOPES: usize = 32;
/// Longest pattern of a scope, in bytes: as long as a repository's name.
pub const SCOPE_PATTERN_BYTES: usize = REPOSITORY_NAME_BYTES;
/// Most robots of a namespace.
pub const ROBOTS_PER_NAMESPACE: usize = 1_000;
/// Longest name of a robot, in bytes.
pub const ROBOT_NAME_BYTES: usize = 64;
/// Largest form of the token service, body of a sign-in, and any other body of
/// a caller without a name, in bytes.
pub const SIGN_IN_BODY_BYTES: usize = 16 * 1024;
/// Wrong passwords that cost no waiting, for one account and for one address:
/// people mistype, and scripts with an old password try a few times.
pub const GUESSES_FREE: u32 = 10;
/// The wait after the first that is not free; each after it is twice as long.
pub const GUESS_FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long until one wrong password is forgotten.
pub const GUESS_FORGOTTEN: Duration = Duration::from_secs(30);
/// Longest wait after a wrong password. It never becomes a lock-out.
pub const GUESS_WAIT: Duration = Duration::from_secs(30);
/// Accounts and addresses whose wrong passwords are remembered, each: about
/// 100 bytes an entry. Who pushes one out has paid a password hash for each.
pub const GUESS_ENTRIES: usize = 32_768;
/// Pairs of an account and an address that are known to be right.
pub const GUESS_KNOWN: usize = 16_384;
/// Names in client certificates that stand for accounts.
pub const CERTIFIED_NAMES: usize = 10_000;
/// Longest name in a certificate that can stand for an account, in bytes.
pub const CERTIFIED_NAME_BYTES: usize = 512;

// Metrics.

/// Jobs, and transfers, that are counted for one page of metrics: more are as
/// many to whoever watches, and counting holds a snapshot.
pub const METRICS_ROWS: u64 = 100_000;
/// Policies that have lines of their own in the metrics.
pub const METRICS_POLICIES: usize = 1_000;
/// Quotas that one page of metrics shows.
pub const METRICS_QUOTAS: usize = 1_000;

// Audit.

/// Bytes of one text in a row of the audit log: a name, an address, a program,
/// what something was and is.
pub const AUDIT_TEXT_BYTES: usize = 256;
/// Things that changed which one row tells.
pub const AUDIT_DETAILS: usize = 16;
/// How long rows of the audit log are kept by default: a year, and the month in
/// which somebody asks about it.
pub const AUDIT_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Rows of each class of the audit log that are kept by default, some 350 bytes
/// each.
pub const AUDIT_ROWS: u64 = 100_000;
/// What that number may be set to: enough to see what happened, and no more than
/// some 3.5 GB of each class.
pub const AUDIT_ROWS_SET: std::ops::RangeInclusive<u64> = 1_000..=10_000_000;
/// Rows that one page of the audit log looks at: some tens of milliseconds.
pub const AUDIT_SCAN_ROWS: usize = 10_000;
/// Rows of one class that are read in one go.
pub const AUDIT_SLICE_ROWS: usize = 256;
/// How often `audit --follow` asks.
pub const AUDIT_FOLLOW: Duration = Duration::from_secs(1);

// Set-up.

/// Largest body that brings it, in bytes: a secret, a name and a password.
pub const SETUP_BODY_BYTES: usize = 4 * 1024;
/// How long the set-up secret is good.
pub const SETUP_LASTS: Duration = Duration::from_secs(60 * 60);
/// Set-up secrets that one block of addresses may have wrong in a window.
pub const SETUP_TRIES: u32 = 10;
/// That window.
pub const SETUP_TRIES_WINDOW: Duration = Duration::from_secs(60);
/// Blocks of addresses whose wrong ones are counted in a window; wrong ones of
/// others are told to wait at once.
pub const SETUP_BLOCKS: usize = 1_024;
