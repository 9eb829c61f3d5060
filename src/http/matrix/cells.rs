//! The matrix itself: each row, asked by everyone about every place.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::ground::{Ground, Kept};
use super::kinds;
use super::people::{Has, PEOPLE, Place, Who};
use super::table::{Right, Row, rows};
use crate::http::harness::{Answer, Ask};

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    status: u16,
    /// Of a refusal.
    code: &'static str,
    /// Whether the call went through to what it does.
    is_done: bool,
}

const fn refused(status: u16, code: &'static str) -> Cell {
    Cell { status, code, is_done: false }
}

/// What is answered, as the table says.
fn cell(row: &Row, who: Who, place: Place) -> Cell {
    let done = Cell { status: row.answer.0, code: row.answer.1, is_done: true };
    let [unknown, denied, missing] = match row.is_registry() {
        true => ["UNAUTHORIZED", "DENIED", "NAME_UNKNOWN"].map(str::as_ref),
        false => ["NOT_AUTHENTICATED", "NOT_AUTHORIZED", "NO_SUCH_REPOSITORY"],
    };
    let has = who.has(place);
    if row.right == Right::Nobody {
        return done;
    }
    if !who.is_known() {
        let is_open = match row.right {
            Right::Open => true,
            Right::Public | Right::Listed => has >= Has::Reads,
            _ => false,
        };
        let unknown = if row.kind == "auth.Token" { "UNAUTHORIZED" } else { unknown };
        return if who == Who::Anonymous && is_open { done } else { refused(401, unknown) };
    }
    let only = |people: &[Who]| if people.contains(&who) { done } else { refused(403, denied) };
    let at_least = |needed: Has| match has {
        _ if place == Place::Missing => refused(404, missing),
        Has::Nothing => refused(404, missing),
        has if has < needed => refused(403, denied),
        _ => done,
    };
    match row.right {
        Right::Nobody | Right::Open => done,
        // A robot is known and is no account.
        Right::Name if row.kind == "enzi.WhoAmI" && who == Who::Robot => refused(404, "NO_SUCH_ACCOUNT"),
        Right::Name => done,
        Right::Listed if place == Place::Missing || has == Has::Nothing => refused(200, ""),
        Right::Public | Right::Listed => at_least(Has::Reads),
        Right::On(needed) => at_least(needed),
        Right::Remove if place == Place::Missing && has == Has::Rules => done,
        Right::Remove => at_least(Has::Rules),
        Right::SeesReader => match at_least(Has::Reads) {
            Cell { is_done: true, .. } if who != Who::Reader && has < Has::Rules => refused(403, denied),
            Cell { is_done: true, .. } if Who::Reader.has(place) < Has::Reads => {
                refused(404, "NO_SUCH_REPOSITORY_ACCESS")
            }
            cell => cell,
        },
        Right::System => only(&[Who::Admin]),
        Right::Namespace | Right::Owner => only(&[Who::Owner, Who::Admin]),
        Right::Member => only(&[Who::Reader, Who::Pusher, Who::PolicyWriter, Who::Owner, Who::Admin]),
        Right::Lead => only(&[Who::Pusher, Who::Owner, Who::Admin]),
        Right::Reader => only(&[Who::Reader, Who::Admin]),
        Right::Own if who == Who::Robot => refused(403, denied),
        Right::Own => done,
        Right::OwnToken => match who {
            Who::Reader | Who::Admin => done,
            Who::Robot => refused(403, denied),
            _ => refused(404, "NO_SUCH_API_TOKEN"),
        },
        Right::Host => refused(403, denied),
    }
}

/// Says what is wrong with an answer.
fn faults(row: &Row, who: Who, cell: Cell, answer: &Answer) -> Vec<String> {
    let mut faults = Vec::new();
    if answer.status != cell.status {
        faults.push(format!("status {}, not {}", answer.status.as_u16(), cell.status));
    }
    let is_error = answer.status.is_client_error() && !answer.body.is_empty();
    if is_error && answer.code() != cell.code {
        faults.push(format!("code {}, not {}", answer.code(), cell.code));
    }
    let challenge = answer.headers.get("www-authenticate").map(|value| value.to_str().unwrap());
    let is_right = match (cell.status, row.is_registry(), challenge) {
        (401, true, Some(challenge)) => {
            let to = r#"Bearer realm="https://registry.example/auth/token",service="registry.example""#;
            challenge.starts_with(to) && !challenge.contains("error=")
        }
        (401, false, Some(challenge)) => challenge == r#"Basic realm="tidegate", charset="UTF-8""#,
        (status, _, None) => status != 401,
        (_, _, Some(_)) => false,
    };
    if !is_right {
        faults.push(format!("challenge {challenge:?} for {who:?}"));
    }
    if row.is_registry() && answer.headers.get("docker-distribution-api-version").is_none() {
        faults.push("no API version".to_owned());
    }
    faults
}

/// Says how two answers differ, one about `name` and one about `other`, which is
/// as long.
fn difference(answer: &Answer, name: &str, twin: &Answer, other: &str) -> Option<String> {
    let renamed = |text: &str| text.replace(other, name).replace(&other.replace('/', "%2F"), &name.replace('/', "%2F"));
    let headers = |answer: &Answer, rename: bool| -> BTreeSet<(String, String)> {
        let own = ["x-request-id", "date"];
        let kept = answer.headers.iter().filter(|(header, _)| !own.contains(&header.as_str()));
        kept.map(|(header, value)| {
            let value = value.to_str().unwrap();
            (header.to_string(), if rename { renamed(value) } else { value.to_owned() })
        })
        .collect()
    };
    let (mine, theirs) = (headers(answer, false), headers(twin, true));
    let is_same = answer.status == twin.status && answer.text() == renamed(&twin.text()) && mine == theirs;
    (!is_same)
        .then(|| format!("differs from what is missing:\n  {mine:?} {}\n  {theirs:?} {}", answer.text(), twin.text()))
}

/// The cells of one row, and what was wrong.
struct Walk<'a> {
    ground: &'a mut Ground,
    row: &'a Row,
    /// What was kept before the first of them.
    kept: Kept,
    told: &'a mut Vec<String>,
    asked: &'a mut usize,
}

impl Walk<'_> {
    async fn send(&mut self, ask: Ask) -> Answer {
        *self.asked += 1;
        self.ground.site.send(ask).await
    }

    fn tell(&mut self, who: Who, place: Place, faults: impl IntoIterator<Item = String>) {
        for fault in faults {
            self.told.push(format!("{} {} by {who:?} on {place:?}: {fault}", self.row.method, self.row.path));
        }
    }

    /// A call that is refused: as the table says, as if nothing were there where
    /// nothing may be known, and without a trace.
    async fn refused(&mut self, who: Who, place: Place, expected: Cell) {
        let ask = self.ground.ask(self.row, who, (place, place.name())).await;
        let answer = self.send(ask.clone()).await;
        let mut found = faults(self.row, who, expected, &answer);
        if self.row.method == "GET" && who != Who::WrongPassword {
            let head = self.send(ask.with_head()).await;
            if head.status != answer.status || !head.body.is_empty() {
                found.push(format!("HEAD is answered {}", head.status));
            }
        }
        // A wrong password costs a hash each time; what it is told is the same.
        let is_hidden = matches!(expected.status, 200 | 401 | 404) && who != Who::WrongPassword;
        if self.row.is_about_repository() && is_hidden && who.has(place) == Has::Nothing {
            let ask = self.ground.ask(self.row, who, (place, place.absent())).await;
            let twin = self.send(ask).await;
            found.extend(difference(&answer, place.name(), &twin, place.absent()));
        }
        let kept = self.ground.kept();
        if kept != self.kept {
            found.push("something was changed".to_owned());
            self.kept = kept;
        }
        self.tell(who, place, found);
    }

    /// A call that goes through.
    async fn done(&mut self, who: Who, place: Place, expected: Cell) {
        self.ground.begin(self.row).await;
        let ask = self.ground.ask(self.row, who, (place, place.name())).await;
        let answer = self.send(ask.clone()).await;
        let mut found = faults(self.row, who, expected, &answer);
        if self.row.method == "GET" {
            let head = self.send(ask.with_head()).await;
            if head.status != answer.status || !head.body.is_empty() {
                found.push(format!("HEAD is answered {}", head.status));
            }
        }
        if !found.is_empty() {
            found.push(answer.text());
        }
        self.tell(who, place, found);
        self.ground.put_back(self.row.leaves, place).await;
    }
}

#[test]
fn every_route_has_a_row_and_every_row_is_a_route() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        let path = filled(row.path);
        let method: Method = row.method.parse().unwrap();
        assert_eq!(kinds::of(&method, &path), row.kind, "{} {path}", row.method);
        seen.insert(row.kind);
    }
    let missing: Vec<&str> = kinds::all().filter(|kind| !seen.contains(kind)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

/// A path with something in place of its words.
fn filled(path: &str) -> String {
    let digest = crate::oci::Digest::sha256_of(b"x").to_string();
    [("{name}", "dev/app"), ("{repo}", "dev/app"), ("{digest}", &digest), ("{blob}", &digest), ("{loose}", &digest)]
        .iter()
        .fold(path.to_owned(), |path, (word, value)| path.replace(word, value))
        .replace("{upload}", "0123456789abcdef0123456789abcdef")
        .replace(['{', '}'], "")
}

#[tokio::test]
async fn everyone_gets_what_the_table_says_and_refusals_leave_no_trace() {
    let mut ground = Ground::open().await;
    let (mut told, mut asked, mut cells) = (Vec::new(), 0, 0);
    for row in rows() {
        let places = if row.is_about_repository() { &Place::ALL[..] } else { &[Place::Own] };
        ground.begin(row).await;
        let kept = ground.kept();
        let mut walk = Walk { ground: &mut ground, row, kept, told: &mut told, asked: &mut asked };
        let all = PEOPLE.iter().flat_map(|(who, _)| places.iter().map(|place| (*who, *place, cell(row, *who, *place))));
        let (done, refused): (Vec<_>, Vec<_>) = all.partition(|(_, _, cell)| cell.is_done);
        cells += done.len() + refused.len();
        for (who, place, expected) in refused {
            walk.refused(who, place, expected).await;
        }
        for (who, place, expected) in done {
            walk.done(who, place, expected).await;
        }
    }
    assert!(told.is_empty(), "{} of {cells} cells ({asked} requests):\n{}", told.len(), told.join("\n"));
    ground.close().await;
}

/// A path, the same for all accounts, teams and tags: other rows have other
/// methods of it.
fn shape(path: &str) -> String {
    let path = path.replace("{dev}", "dev");
    let path = match path.strip_prefix("/v2/{name}/manifests/") {
        Some(_) => "/v2/{name}/manifests/1.0".to_owned(),
        None => path,
    };
    let one = [
        ("{loose}", "{blob}"),
        ("accounts/root", "accounts/reader"),
        ("accounts/spare", "accounts/reader"),
        ("members/spare", "members/reader"),
        ("members/pusher", "members/reader"),
        ("teams/spares", "teams/pushers"),
    ];
    let path = one.iter().fold(path, |path, (name, other)| path.replace(name, other));
    if path == "/enzi/v0/accounts/dev" { "/enzi/v0/accounts/reader".to_owned() } else { path }
}

/// Methods that a path does not take: said with those that it does, whatever
/// repository it names; to who says no name, nothing is said.
#[tokio::test]
async fn every_other_method_of_every_path_is_refused_with_those_it_takes() {
    let ground = Ground::open().await;
    let mut paths: BTreeMap<String, (&'static str, BTreeSet<&str>)> = BTreeMap::new();
    let is_refused = |row: &Row| [404, 405].contains(&row.answer.0) && row.right == Right::Nobody;
    // Of a digest in the place of a tag, only GET is a route.
    for row in rows().filter(|row| !is_refused(row) && !row.kind.ends_with(".none") && row.kind != "api.TagsOf") {
        let path = row.path.split('?').next().unwrap();
        paths.entry(shape(path)).or_insert_with(|| (path, BTreeSet::new())).1.insert(row.method);
    }
    let mut told = Vec::new();
    for (path, mut takes) in paths.into_values() {
        if takes.contains("GET") {
            takes.insert("HEAD");
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
            if takes.contains(method) {
                continue;
            }
            let row = Row::refused(method, path);
            let kind = kinds::of(&method.parse().unwrap(), &filled(path));
            assert!(
                ["api.none", "v2.none", "auth.Method", "ReadOnly", "Setup"].contains(&kind),
                "{method} {path} is {kind}"
            );
            for who in [Who::Anonymous, Who::Reader] {
                let is_open = !path.starts_with("/v2") && !path.starts_with("/api") && !path.starts_with("/enzi")
                    || ["auth.Method", "Setup"].contains(&kinds::of(&method.parse().unwrap(), path));
                let (status, code) = match (who.is_known() || is_open && path != "/id", row.is_registry()) {
                    (true, true) => (405, "UNSUPPORTED"),
                    (true, false) => (405, "NOT_ALLOWED"),
                    (false, true) => (401, "UNAUTHORIZED"),
                    (false, false) => (401, "NOT_AUTHENTICATED"),
                };
                let answer = ground.site.send(ground.ask(&row, who, (Place::Own, "dev/app")).await).await;
                let mut found = faults(&row, who, refused(status, code), &answer);
                if status == 405 {
                    let allow = answer.headers.get("allow").map_or("", |value| value.to_str().unwrap());
                    let allow: BTreeSet<&str> = allow.split(", ").collect();
                    if allow != takes {
                        found.push(format!("allows {allow:?}, takes {takes:?}"));
                    }
                }
                told.extend(found.into_iter().map(|fault| format!("{method} {path} by {who:?}: {fault}")));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    ground.close().await;
}
