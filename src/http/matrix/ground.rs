//! A registry with everything in it that the rows name, and the way to put back
//! what a call has changed.
//!
//! `dev` is an organization with teams that have grants on `dev/app` and below
//! it, `qa` another; in every repository lies the same image under the same tag,
//! so that a right that is looked up under the wrong name finds something.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use http::{Method, header};
use serde_json::{Value, json};

use super::people::{Has, Place, Who};
use super::table::{Leaves, Row};
use crate::chance::Id;
use crate::http::harness::{Answer, Ask, PASSWORD, Site, image};
use crate::oci::{Digest, RepoName, Tag};
use crate::policy::Kind;
use crate::registry::Caller;
use crate::registry::policy::Saving;
use crate::store::blob;
use crate::store::record::{PolicyBody, Remote};

const LAYER: &[u8] = b"layer";
const LOOSE: &[u8] = b"loose";

/// What each team has on a repository: those of `dev` on theirs, that of `qa` on
/// its own.
const GRANTS: [(Place, &str, &str); 6] = [
    (Place::Own, "readers", "read-only"),
    (Place::Own, "pushers", "read-write"),
    (Place::Own, "writers", "admin"),
    (Place::Nested, "pushers", "read-only"),
    (Place::Nested, "writers", "read-write"),
    (Place::Other, "pushers", "read-write"),
];

/// Organization, team, member, and whether it leads the team.
const TEAMS: [(&str, &str, &str, bool); 6] = [
    ("dev", "readers", "reader", false),
    ("dev", "pushers", "pusher", true),
    ("dev", "writers", "writer", false),
    ("dev", "spares", "spare", false),
    ("qa", "pushers", "elsewhere", false),
    ("qa", "spares", "spare", false),
];

/// What is asked.
pub(super) struct Ground {
    pub(super) site: Site,
    /// In place of passwords.
    expired: String,
    revoked: String,
    robot: String,
    /// The hash of a token of the reader's.
    token: String,
    /// The last job and backup that were begun for a row.
    job: String,
    backup: Option<Id>,
    /// A session of `root`'s in each repository.
    sessions: Vec<(Place, String)>,
}

/// What nothing changes without: commits, sessions of uploads, and files.
pub(super) type Kept = (u64, usize, BTreeSet<std::path::PathBuf>);

impl Ground {
    pub(super) async fn open() -> Self {
        let site = Site::open().await;
        let mut ground = Self {
            site,
            expired: String::new(),
            revoked: String::new(),
            robot: String::new(),
            token: "ab".to_owned(),
            job: Id::from_bytes([1; 16]).to_string(),
            backup: None,
            sessions: Vec::new(),
        };
        for name in ["reader", "elsewhere", "pusher", "writer", "owner"] {
            ground.make("/enzi/v0/accounts", json!({ "name": name, "password": PASSWORD })).await;
        }
        ground.make("/enzi/v0/accounts", json!({ "name": "qa", "isOrg": true })).await;
        ground.put_back(Leaves::Accounts, Place::Own).await;
        let robot = json!({ "name": "ci", "scopes": ["dev/app:push"] });
        ground.robot = text(&ground.make("/api/v0/robots/dev", robot).await, "token");
        let make = |form: Value| Ask::post("/api/v0/api_tokens").user("reader").body(form.to_string());
        let revoked = ground.site.expect(200, make(json!({}))).await;
        ground.revoked = text(&revoked, "token");
        let revoke = format!("/api/v0/api_tokens/{}", text(&revoked, "hashedToken"));
        ground.site.expect(200, Ask::delete(&revoke).user("reader")).await;
        let clock = ground.site.state.registry().store().clock();
        let end = ground.site.state.registry().store().now().after(Duration::from_secs(60)).rfc3339();
        ground.expired = text(&ground.site.expect(200, make(json!({ "expiresAt": end }))).await, "token");
        clock.advance(Duration::from_secs(120));
        for place in Place::ALL.into_iter().filter(|place| *place != Place::Missing) {
            let id = ground.session(Who::Admin, place).await;
            ground.sessions.push((place, id));
        }
        ground
    }

    pub(super) async fn close(self) {
        self.site.close().await;
    }

    async fn make(&self, path: &str, form: Value) -> Answer {
        self.site.expect(201, Ask::post(path).local().body(form.to_string())).await
    }

    /// Sends something of which it does not matter whether it was needed.
    async fn ensure(&self, method: Method, path: &str, form: Value) {
        let answer = self.site.send(Ask::new(method, path).local().body(form.to_string())).await;
        let is_done = answer.status.is_success() || [400, 404].contains(&answer.status.as_u16());
        assert!(is_done, "{path}: {}", answer.text());
    }

    async fn session(&self, who: Who, place: Place) -> String {
        let ask = Ask::post(&format!("/v2/{}/blobs/uploads/", place.name()));
        let opened = self.site.expect(202, self.sign(who, ask)).await;
        opened.header("docker-upload-uuid").to_owned()
    }

    /// A request as somebody sends it.
    pub(super) fn sign(&self, who: Who, ask: Ask) -> Ask {
        let token = match who {
            Who::Expired => &self.expired,
            Who::Revoked => &self.revoked,
            Who::Robot => &self.robot,
            _ => "",
        };
        who.sign(ask, token)
    }

    /// Puts back what a call has left of the ground.
    pub(super) async fn put_back(&mut self, leaves: Leaves, place: Place) {
        match leaves {
            Leaves::Nothing => {}
            Leaves::Repository => self.put_back_repository(place).await,
            Leaves::Accounts => {
                self.put_back_accounts().await;
                for place in Place::ALL {
                    self.put_back_repository(place).await;
                }
            }
        }
    }

    async fn put_back_accounts(&self) {
        let (put, post, delete) = (Method::PUT, Method::POST, Method::DELETE);
        let import = "/enzi/v0/admin/importAccounts";
        self.ensure(delete.clone(), "/enzi/v0/accounts/made", json!({})).await;
        self.ensure(delete.clone(), "/enzi/v0/accounts/dev/teams/made", json!({})).await;
        self.ensure(delete.clone(), "/api/v0/repositories/dev/made", json!({})).await;
        self.ensure(delete.clone(), "/api/v0/robots/dev/made", json!({})).await;
        for (name, is_org) in [("spare", false), ("spareorg", true)] {
            self.ensure(post.clone(), import, json!({ "accounts": [{ "name": name, "isOrg": is_org }] })).await;
        }
        self.ensure(put.clone(), "/enzi/v0/accounts/dev/members/owner", json!({ "isAdmin": true })).await;
        self.ensure(put.clone(), "/enzi/v0/accounts/dev/members/spare", json!({ "isAdmin": false })).await;
        for (organization, team, user, leads) in TEAMS {
            let teams = format!("/enzi/v0/accounts/{organization}/teams");
            self.ensure(post.clone(), &teams, json!({ "name": team })).await;
            let member = format!("{teams}/{team}/members/{user}");
            self.ensure(put.clone(), &member, json!({ "isAdmin": leads })).await;
        }
        let of_namespace = "/api/v0/repositoryNamespaces/dev/teamAccess/spares";
        self.ensure(put, of_namespace, json!({ "accessLevel": "read-only" })).await;
        self.ensure(post, "/api/v0/robots/dev", json!({ "name": "spare", "scopes": ["dev/app:pull"] })).await;
        self.ensure(delete, "/enzi/v0/accounts/dev/teams/pushers/members/spare", json!({})).await;
    }

    async fn put_back_repository(&mut self, place: Place) {
        let registry = self.site.state.registry().clone();
        let (name, system): (RepoName, _) = (place.name().parse().unwrap(), Caller::System);
        if place == Place::Missing {
            assert!(registry.repository(&system, &name).is_err());
            return;
        }
        if registry.repository(&system, &name).is_err() {
            let visibility = if place == Place::Public { "public" } else { "private" };
            let form = json!({ "name": name.rest(), "visibility": visibility });
            self.make(&format!("/api/v0/repositories/{}", name.namespace()), form).await;
        }
        for (_, team, level) in GRANTS.into_iter().filter(|(at, ..)| *at == place) {
            let path = format!("{}/teamAccess/{team}", managed(&name));
            self.ensure(Method::PUT, &path, json!({ "accessLevel": level })).await;
        }
        let tag: Tag = "1.0".parse().unwrap();
        if registry.blob_size(&system, &name, &Digest::sha256_of(LOOSE)).is_err() {
            self.site.push_blob("root", name.as_str(), LOOSE).await;
        }
        if registry.tag_value(&system, &name, &tag).is_err() {
            self.site.push_image("root", name.as_str(), "1.0", LAYER).await;
        }
        let there = registry.policies(&system, &name).unwrap();
        for kind in [Kind::Promotion, Kind::PushMirror, Kind::PullMirror] {
            if !there.iter().any(|shown| shown.policy.kind() == kind) {
                registry.save_policy(&system, saving(kind, &name)).await.unwrap();
            }
        }
    }

    /// Begins what the rows of jobs and backups end.
    pub(super) async fn begin(&mut self, row: &Row) {
        let store = self.site.state.registry().store().clone();
        if row.path.contains("{job}") {
            self.ensure(Method::POST, &format!("/api/v0/jobs/{}/cancel", self.job), json!({})).await;
            let answer = self.site.send(Ask::post("/api/v0/jobs").local().body(r#"{"action":"scrub"}"#)).await;
            self.job = text(&answer, "id");
        }
        if row.path.contains("{backup}") {
            if let Some(backup) = self.backup.take() {
                store.end_backup(&backup);
            }
            self.backup = Some(store.begin_backup("matrix").unwrap());
        }
        if row.path.contains("{token}") {
            let made = self.site.expect(200, Ask::post("/api/v0/api_tokens").user("reader").body("{}")).await;
            self.token = text(&made, "hashedToken");
        }
    }

    /// A row as somebody sends it, about a repository: of this name, but with the
    /// ids of what is at the place.
    pub(super) async fn ask(&self, row: &Row, who: Who, (place, name): (Place, &str)) -> Ask {
        let is_policy =
            ["{promotion}", "{push}", "{pull}"].iter().any(|word| [row.path, row.body].concat().contains(word));
        let mut words = self.words((place, name), is_policy);
        if row.path.contains("{session}") {
            let is_own = who.has(place) >= Has::Pushes && place != Place::Missing && place.name() == name;
            words.push((
                "session",
                match is_own {
                    true => self.session(who, place).await,
                    false => self.sessions.iter().find(|(at, _)| *at == place).unwrap_or(&self.sessions[0]).1.clone(),
                },
            ));
        }
        let fill = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
        };
        let ask = Ask::new(row.method.parse().unwrap(), &fill(row.path)).body(fill(row.body));
        let ask = match row.body {
            "{manifest}" => ask.header(header::CONTENT_TYPE.as_str(), "application/vnd.oci.image.manifest.v1+json"),
            _ => ask,
        };
        self.sign(who, ask)
    }

    fn words(&self, (place, name): (Place, &str), is_policy: bool) -> Vec<(&'static str, String)> {
        let registry = self.site.state.registry();
        let at = if place == Place::Missing { Place::Own } else { place };
        let shown = match is_policy {
            true => registry.policies(&Caller::System, &at.name().parse().unwrap()).unwrap(),
            false => Vec::new(),
        };
        let policy = |kind: Kind| {
            let found = shown.iter().find(|shown| shown.policy.kind() == kind);
            found.map_or_else(|| "none".to_owned(), |shown| shown.policy.id.to_string())
        };
        let (config, layer) = (Digest::sha256_of(b"{}"), Digest::sha256_of(LAYER));
        let manifest = image(&config, 2, &[(layer, LAYER.len())], None).to_string();
        let upload = blob::get(&registry.store().snapshot().unwrap(), &layer).unwrap().map(|blob| blob.upload);
        let (namespace, rest) = name.split_once('/').unwrap();
        vec![
            ("name", name.to_owned()),
            ("repo", format!("{namespace}/{}", rest.replace('/', "%2F"))),
            ("digest", Digest::sha256_of(manifest.as_bytes()).to_string()),
            ("manifest", manifest),
            ("blob", layer.to_string()),
            ("loose", Digest::sha256_of(LOOSE).to_string()),
            ("upload", upload.map_or_else(String::new, |upload| upload.to_string())),
            ("promotion", policy(Kind::Promotion)),
            ("push", policy(Kind::PushMirror)),
            ("pull", policy(Kind::PullMirror)),
            ("policy", json!({ "rules": [], "targetRepository": name, "tagTemplate": "%n-next" }).to_string()),
            ("job", self.job.clone()),
            ("backup", self.backup.unwrap_or(Id::from_bytes([1; 16])).to_string()),
            ("token", self.token.clone()),
            ("instance", registry.store().instance().to_string()),
            ("dev", registry.account("dev").map_or_else(|_| String::new(), |(_, account)| account.id.to_string())),
            ("password", PASSWORD.to_owned()),
        ]
    }

    /// What is kept now. No row changes but in a commit.
    pub(super) fn kept(&self) -> Kept {
        let registry = self.site.state.registry();
        let commits = *registry.store().writer().commits().borrow();
        let mut files = BTreeSet::new();
        below(self.site.folder(), &mut files);
        (commits, registry.open_uploads().len(), files)
    }
}

fn below(folder: &Path, files: &mut BTreeSet<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, files);
        }
        files.insert(path);
    }
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("{field}: {}", answer.text())).to_owned()
}

fn managed(name: &RepoName) -> String {
    format!("/api/v0/repositories/{}/{}", name.namespace(), name.rest().replace('/', "%2F"))
}

/// A policy of each kind, none of which is ever run here.
fn saving(kind: Kind, name: &RepoName) -> Saving {
    let remote = || Remote {
        host: "https://elsewhere.example".to_owned(),
        repository: "some/thing".to_owned(),
        username: String::new(),
        password: None,
        token: None,
        ca: String::new(),
        skip_tls_verification: false,
        private: false,
    };
    let body = match kind {
        Kind::Promotion => PolicyBody::Promotion { target: name.to_string() },
        Kind::PushMirror => PolicyBody::Push { remote: remote() },
        Kind::PullMirror => {
            PolicyBody::Pull { remote: remote(), schedule: "@every 30m".to_owned(), changes_only: false }
        }
    };
    Saving {
        id: None,
        repository: name.clone(),
        enabled: true,
        rules: Vec::new(),
        tag_template: "%n".to_owned(),
        time_zone: "UTC".to_owned(),
        body,
        evaluate: false,
        again: false,
    }
}
