//! Every path, and who may call it.

use http::Method;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt as _;

use super::super::enzi::EnziRoute;
use super::super::right::Right;
use super::super::route::{ApiRoute, RouteError};
use crate::access::Level;
use crate::http::harness::{Ask, Gathered, Site};
use crate::oci::{Digest, RepoName};
use crate::policy::Kind;
use crate::registry::{Caller, Role};

const ID: &str = "6ca8bea5-0993-48f2-b279-9b3cbe3da042";

fn repo() -> RepoName {
    "bob/app".parse().unwrap()
}

/// Every call there is: how it is written, what it is, and its right in words.
pub(super) fn calls() -> Vec<(Method, String, ApiRoute, &'static str)> {
    let tag = || "1.0".parse().unwrap();
    let id = || ID.parse().ok();
    let digest = Digest::sha256_of(b"x");
    let mut calls = Vec::new();
    let mut add = |method: Method, path: &str, route: ApiRoute, right| {
        calls.push((method, path.to_owned(), route, right));
    };
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    for (method, path, route, right) in accounts() {
        add(method, &format!("/enzi/v0{path}"), ApiRoute::Enzi(route), right);
    }
    let (bob, dev, web) = (|| "bob".to_owned(), || "dev".to_owned(), || "web".to_owned());
    add(get.clone(), "/api/v0/accounts/language", ApiRoute::Language, "signed in");
    add(delete.clone(), "/api/v0/accounts/bob", ApiRoute::DeleteNamespace(bob()), "system");
    add(delete.clone(), "/api/v0/accounts/bob/repositories", ApiRoute::EmptyNamespace(bob()), "namespace");
    add(get.clone(), "/api/v0/accounts/bob/settings", ApiRoute::UserSettings(bob()), "user");
    add(Method::PATCH, "/api/v0/accounts/bob/settings", ApiRoute::UpdateUserSettings(bob()), "user");
    let access = "/api/v0/accounts/ann/repositoryAccess/bob/app";
    add(get.clone(), access, ApiRoute::UserAccess("ann".into(), repo()), "read-only");
    let of_team = "/api/v0/accounts/dev/teams/web/repositoryAccess";
    add(get.clone(), of_team, ApiRoute::TeamRepositories(dev(), web()), "member");
    let namespace = "/api/v0/repositoryNamespaces/dev/teamAccess";
    let one = format!("{namespace}/web");
    add(get.clone(), namespace, ApiRoute::ListNamespaceAccess(dev()), "decided");
    add(get.clone(), &one, ApiRoute::GetNamespaceAccess(dev(), web()), "decided");
    add(Method::PUT, &one, ApiRoute::GrantNamespace(dev(), web()), "namespace");
    add(delete.clone(), &one, ApiRoute::RevokeNamespace(dev(), web()), "namespace");
    add(get.clone(), "/api/v0/audit", ApiRoute::Audit, "decided");
    add(get.clone(), "/api/v0/meta/settings", ApiRoute::Settings, "system");
    add(post.clone(), "/api/v0/meta/settings", ApiRoute::UpdateSettings, "system");
    add(get.clone(), "/id", ApiRoute::Enzi(EnziRoute::WhoAmI), "signed in");
    add(get.clone(), "/api/v0/api_tokens", ApiRoute::ListTokens, "own");
    add(post.clone(), "/api/v0/api_tokens", ApiRoute::CreateToken, "own");
    add(delete.clone(), "/api/v0/api_tokens", ApiRoute::CleanUpTokens, "own");
    add(get.clone(), "/api/v0/api_tokens/ab", ApiRoute::GetToken("ab".into()), "own");
    add(Method::PATCH, "/api/v0/api_tokens/ab", ApiRoute::UpdateToken("ab".into()), "own");
    add(delete.clone(), "/api/v0/api_tokens/ab", ApiRoute::DeleteToken("ab".into()), "own");
    let ci = || "ci".to_owned();
    add(get.clone(), "/api/v0/robots/bob", ApiRoute::ListRobots(bob()), "namespace");
    add(post.clone(), "/api/v0/robots/bob", ApiRoute::CreateRobot(bob()), "namespace");
    add(get.clone(), "/api/v0/robots/bob/ci", ApiRoute::GetRobot(bob(), ci()), "namespace");
    add(Method::PATCH, "/api/v0/robots/bob/ci", ApiRoute::UpdateRobot(bob(), ci()), "namespace");
    add(delete.clone(), "/api/v0/robots/bob/ci", ApiRoute::DeleteRobot(bob(), ci()), "namespace");
    add(get.clone(), "/api/v0/robots/bob/ci/tokens", ApiRoute::ListRobotTokens(bob(), ci()), "namespace");
    add(post.clone(), "/api/v0/robots/bob/ci/tokens", ApiRoute::CreateRobotToken(bob(), ci()), "namespace");
    add(get.clone(), "/api/v0/clientCertificates", ApiRoute::ListCertificates, "system");
    add(post.clone(), "/api/v0/clientCertificates", ApiRoute::MapCertificate, "system");
    add(delete.clone(), "/api/v0/clientCertificates", ApiRoute::UnmapCertificate, "system");
    add(get.clone(), "/api/v0/meta/features", ApiRoute::Features, "signed in");
    add(get.clone(), "/api/v0/admin/version", ApiRoute::Version, "signed in");
    add(post.clone(), "/api/v0/admin/verify", ApiRoute::Verify, "system");
    add(get.clone(), "/api/v0/admin/scrub", ApiRoute::ScrubStatus, "system");
    add(get.clone(), "/api/v0/admin/quarantine", ApiRoute::ListQuarantine, "system");
    let keys = "/api/v0/admin/sealingKeys";
    add(get.clone(), keys, ApiRoute::ListSealingKeys, "system");
    add(post.clone(), keys, ApiRoute::AddSealingKey, "system");
    add(delete.clone(), &format!("{keys}/ab"), ApiRoute::RetireSealingKey("ab".into()), "system");
    add(post.clone(), "/api/v0/remote/registry", ApiRoute::CheckRemote, "signed in");
    add(get.clone(), "/api/v0/repositories", ApiRoute::ListRepositories(None), "signed in");
    add(get.clone(), "/api/v0/repositories/bob", ApiRoute::ListRepositories(Some("bob".into())), "signed in");
    add(post.clone(), "/api/v0/repositories/bob", ApiRoute::CreateRepository("bob".into()), "namespace");
    add(get.clone(), "/api/v0/quotas", ApiRoute::ListQuotas, "system");
    add(Method::PUT, "/api/v0/quotas", ApiRoute::SetQuota(None), "system");
    add(get.clone(), "/api/v0/quotas/bob", ApiRoute::GetQuotas("bob".into()), "namespace");
    add(Method::PUT, "/api/v0/quotas/bob", ApiRoute::SetQuota(Some("bob".into())), "system");
    let below = |rest: &str| format!("/api/v0/repositories/bob/app{rest}");
    add(get.clone(), &below(""), ApiRoute::GetRepository(repo()), "read-only");
    add(Method::PATCH, &below(""), ApiRoute::UpdateRepository(repo()), "admin");
    add(delete.clone(), &below(""), ApiRoute::DeleteRepository(repo()), "decided");
    add(get.clone(), &below("/tags"), ApiRoute::ListTags(repo()), "read-only");
    add(get.clone(), &below("/tags/1.0"), ApiRoute::GetTag(repo(), tag()), "read-only");
    let of_digest = below(&format!("/tags/{digest}"));
    add(get.clone(), &of_digest, ApiRoute::TagsOf(repo(), digest), "read-only");
    add(Method::PUT, &below("/tags/1.0"), ApiRoute::RestoreTag(repo(), tag()), "read-write");
    add(delete.clone(), &below("/tags/1.0"), ApiRoute::DeleteTag(repo(), tag()), "delete");
    add(get.clone(), &below("/tags/1.0/history"), ApiRoute::TagHistory(repo(), tag()), "read-only");
    add(get.clone(), &below("/tags/1.0/decisions"), ApiRoute::Decisions(repo(), tag()), "read-only");
    add(post.clone(), &below("/tags/1.0/promotion"), ApiRoute::PromoteTag(repo(), tag()), "read-only");
    add(post.clone(), &below("/tags/1.0/pushMirroring"), ApiRoute::PushTag(repo(), tag()), "read-only");
    add(get.clone(), &below("/teamAccess"), ApiRoute::ListTeamAccess(repo()), "admin");
    add(Method::PUT, &below("/teamAccess/web"), ApiRoute::GrantTeam(repo(), web()), "admin");
    add(delete.clone(), &below("/teamAccess/web"), ApiRoute::RevokeTeam(repo(), web()), "admin");
    add(get.clone(), &below("/manifests"), ApiRoute::ListManifests(repo()), "read-only");
    let manifest = below(&format!("/manifests/{digest}"));
    add(delete.clone(), &manifest, ApiRoute::DeleteManifest(repo(), digest), "delete");
    add(get.clone(), &below("/mirroringPolicies"), ApiRoute::ListMirrors(repo()), "read-only");
    add(delete.clone(), &below("/mirroringPolicies"), ApiRoute::DeleteMirrors(repo()), "admin");
    add(post.clone(), &below("/promotionPolicies/test"), ApiRoute::TestPromotion(repo()), "admin");
    let run = below(&format!("/pollMirroringPolicies/{ID}/run"));
    add(post.clone(), &run, ApiRoute::RunPull(repo(), id()), "admin");
    for (kind, word, seen, removed) in [
        (Kind::Promotion, "promotionPolicies", "decided", "decided"),
        (Kind::PushMirror, "pushMirroringPolicies", "read-only", "admin"),
        (Kind::PullMirror, "pollMirroringPolicies", "read-only", "admin"),
    ] {
        let (list, one) = (below(&format!("/{word}")), below(&format!("/{word}/{ID}")));
        add(get.clone(), &list, ApiRoute::ListPolicies(kind, repo()), "read-only");
        add(post.clone(), &list, ApiRoute::CreatePolicy(kind, repo()), "admin");
        add(get.clone(), &one, ApiRoute::GetPolicy(kind, repo(), id()), seen);
        add(Method::PUT, &one, ApiRoute::UpdatePolicy(kind, repo(), id()), "admin");
        add(delete.clone(), &one, ApiRoute::DeletePolicy(kind, repo(), id()), removed);
    }
    add(get.clone(), "/api/v0/jobs", ApiRoute::ListJobs, "system");
    add(post.clone(), "/api/v0/jobs", ApiRoute::CreateJob, "system");
    let job = |rest: &str| format!("/api/v0/jobs/{ID}{rest}");
    add(get.clone(), &job(""), ApiRoute::GetJob(id()), "system");
    add(delete, &job(""), ApiRoute::DeleteJob(id()), "system");
    add(post, &job("/cancel"), ApiRoute::CancelJob(id()), "system");
    add(get.clone(), &job("/logs"), ApiRoute::JobLogs(id()), "system");
    let backup = |rest: &str| format!("/api/v0/backups/{ID}{rest}");
    let upload = "0123456789abcdef0123456789abcdef";
    let file = ApiRoute::BackupFile(id(), digest, upload.parse().unwrap());
    add(Method::POST, "/api/v0/backups", ApiRoute::BeginBackup, "system");
    add(Method::DELETE, &backup(""), ApiRoute::EndBackup(id()), "system");
    add(get.clone(), &backup(&format!("/files/{digest}/{upload}")), file, "system");
    add(get, &backup("/keys"), ApiRoute::BackupKeys(id()), "system");
    calls
}

/// The calls of the accounts API, in the same form.
fn accounts() -> Vec<(Method, &'static str, EnziRoute, &'static str)> {
    use EnziRoute as R;
    let (get, put, post, patch, delete) = (Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE);
    let (bob, dev, web) = (|| "bob".to_owned(), || "dev".to_owned(), || "web".to_owned());
    let id = || ID.parse().ok();
    vec![
        (get.clone(), "/accounts", R::ListAccounts, "signed in"),
        (post.clone(), "/accounts", R::CreateAccount, "system"),
        (patch.clone(), "/accounts", R::ChangeAccounts, "system"),
        (get.clone(), "/accounts/bob", R::GetAccount(bob()), "signed in"),
        (patch.clone(), "/accounts/bob", R::UpdateAccount(bob()), "account"),
        (delete.clone(), "/accounts/bob", R::DeleteAccount(bob()), "system"),
        (post.clone(), "/accounts/bob/changePassword", R::ChangePassword(bob()), "user"),
        (get.clone(), "/accounts/bob/organizations", R::OrganizationsOf(bob()), "user"),
        (get.clone(), "/id", R::WhoAmI, "signed in"),
        (post.clone(), "/admin/importAccounts", R::ImportAccounts, "system"),
        (get.clone(), "/accounts/dev/members", R::ListMembers(dev()), "member"),
        (get.clone(), "/accounts/dev/members/bob", R::GetMember(dev(), bob()), "decided"),
        (put.clone(), "/accounts/dev/members/bob", R::PutMember(dev(), bob()), "owner"),
        (patch.clone(), "/accounts/dev/members/bob", R::PutMember(dev(), bob()), "owner"),
        (delete.clone(), "/accounts/dev/members/bob", R::RemoveMember(dev(), bob()), "owner"),
        (get.clone(), "/accounts/dev/members/bob/teams", R::TeamsOf(dev(), bob()), "member"),
        (get.clone(), "/accounts/dev/teams", R::ListTeams(dev()), "member"),
        (post.clone(), "/accounts/dev/teams", R::CreateTeam(dev()), "owner"),
        (get.clone(), "/accounts/dev/teams/web", R::GetTeam(dev(), web()), "member"),
        (patch.clone(), "/accounts/dev/teams/web", R::UpdateTeam(dev(), web()), "team"),
        (delete.clone(), "/accounts/dev/teams/web", R::DeleteTeam(dev(), web()), "owner"),
        (get.clone(), "/accounts/dev/teams/web/members", R::ListTeamMembers(dev(), web()), "member"),
        (get.clone(), "/accounts/dev/teams/web/members/bob", R::GetTeamMember(dev(), web(), bob()), "member"),
        (put.clone(), "/accounts/dev/teams/web/members/bob", R::PutTeamMember(dev(), web(), bob()), "team"),
        (patch, "/accounts/dev/teams/web/members/bob", R::PutTeamMember(dev(), web(), bob()), "team"),
        (delete.clone(), "/accounts/dev/teams/web/members/bob", R::RemoveTeamMember(dev(), web(), bob()), "team"),
        (get.clone(), "/accounts/dev/teams/web/memberSyncConfig", R::TeamSync(dev(), web(), false), "team"),
        (put.clone(), "/accounts/dev/teams/web/memberSyncConfig", R::TeamSync(dev(), web(), true), "team"),
        (get.clone(), "/accounts/dev/teams/web/groupLinkConfig", R::TeamGroup(dev(), web(), false), "team"),
        (put.clone(), "/accounts/dev/teams/web/groupLinkConfig", R::TeamGroup(dev(), web(), true), "team"),
        (get.clone(), "/accounts/dev/adminMemberSyncConfig", R::OwnerSync(dev(), false), "owner"),
        (put.clone(), "/accounts/dev/adminMemberSyncConfig", R::OwnerSync(dev(), true), "owner"),
        (get.clone(), "/config/auth", R::AuthConfig(false), "system"),
        (put.clone(), "/config/auth", R::AuthConfig(true), "system"),
        (get.clone(), "/config/auth/ldap", R::LdapConfig(false), "system"),
        (put, "/config/auth/ldap", R::LdapConfig(true), "system"),
        (get.clone(), "/config/accounts", R::AccountsConfig, "system"),
        (get.clone(), "/jobs", R::ListJobs, "system"),
        (post.clone(), "/jobs", R::CreateJob, "system"),
        (get.clone(), "/jobs/6ca8bea5-0993-48f2-b279-9b3cbe3da042", R::GetJob(id()), "system"),
        (delete, "/jobs/6ca8bea5-0993-48f2-b279-9b3cbe3da042", R::CancelJob(id()), "system"),
        (get.clone(), "/jobs/6ca8bea5-0993-48f2-b279-9b3cbe3da042/logs", R::JobLogs(id()), "system"),
        (post, "/jobs/6ca8bea5-0993-48f2-b279-9b3cbe3da042/cancel", R::CancelJob(id()), "system"),
        (get.clone(), "/workers", R::ListWorkers, "system"),
        (get, "/workers/6ca8bea5-0993-48f2-b279-9b3cbe3da042/ping", R::PingWorker(id()), "system"),
    ]
}

#[test]
fn every_call_is_read_and_has_a_right() {
    let mut names = std::collections::BTreeSet::new();
    for (method, path, route, right) in calls() {
        for written in [path.clone(), format!("{path}/")] {
            assert_eq!(ApiRoute::parse(&method, &written).as_ref(), Ok(&route), "{method} {written}");
        }
        let found = match route.right() {
            Right::SignedIn => "signed in",
            Right::Own => "own",
            Right::SystemAdmin(_) | Right::UnrestrictedAdmin(_) => "system",
            Right::Account(_) => "account",
            Right::User(_) => "user",
            Right::Organization(_, Role::Member) => "member",
            Right::Organization(_, Role::Owner) => "owner",
            Right::Team(..) => "team",
            Right::Namespace(name) => {
                assert!(name == "bob" || name == "dev");
                "namespace"
            }
            Right::Repository(name, level) => {
                assert_eq!(name, &repo());
                level.as_str()
            }
            Right::Delete(name) => {
                assert_eq!(name, &repo());
                "delete"
            }
            Right::Decided(_) => "decided",
        };
        assert_eq!(found, right, "{method} {path}");
        names.insert(route.name());
    }
    // One for each arm of `name`; the compiler sees that no arm is missing.
    let (page, accounts) = (include_str!("../route.rs"), include_str!("../enzi/route.rs"));
    let arms = page.matches("=> \"api.").count() + accounts.matches("=> \"enzi.").count();
    assert_eq!(names.len(), arms, "a call is missing in the table of this test");
}

#[test]
fn names_with_slashes_are_written_with_2f() {
    let parse = |path: &str| ApiRoute::parse(&Method::GET, path);
    let deep: RepoName = "dev/web/site".parse().unwrap();
    assert_eq!(parse("/api/v0/repositories/dev/web%2Fsite"), Ok(ApiRoute::GetRepository(deep.clone())));
    assert_eq!(parse("/api/v0/repositories/dev/web%2fsite/tags/"), Ok(ApiRoute::ListTags(deep)));
    assert_eq!(parse("/api/v0/repositories/dev/web/site"), Err(RouteError::Nothing));
}

#[test]
fn what_is_no_call_says_why() {
    let error = |method: Method, path: &str| ApiRoute::parse(&method, path).unwrap_err();
    for path in [
        "/api/v0",
        "/api/v0/",
        "/enzi/v0",
        "/api/v0/nothing",
        "/api/v0//repositories",
        "/api/v0/repositories/dev/%ff",
        "/api/v0/repositories/dev/app/tags/1/2",
        "/api/v0/repositories/dev/app/pushMirroringPolicies/1/run",
        "/api/v0/jobs/1/2",
    ] {
        assert_eq!(error(Method::GET, path), RouteError::Nothing, "{path}");
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/v0/repositories", "GET, HEAD"),
        (Method::PUT, "/api/v0/repositories/dev/app", "GET, PATCH, DELETE, HEAD"),
        (Method::GET, "/api/v0/repositories/dev/app/promotionPolicies/test/", "POST"),
        (Method::PATCH, "/api/v0/jobs", "GET, POST, HEAD"),
    ] {
        assert_eq!(error(method, path), RouteError::Method { allow: allow.to_owned() }, "{path}");
    }
    assert!(matches!(error(Method::GET, "/api/v0/repositories/Dev/app"), RouteError::Repository { .. }));
    assert!(matches!(error(Method::GET, "/api/v0/repositories/dev/app/tags/.x"), RouteError::Tag { .. }));
    assert!(matches!(error(Method::DELETE, "/api/v0/repositories/dev/app/manifests/1.0"), RouteError::Digest(_)));
    // An id that cannot be one names nothing, and no more.
    let job = ApiRoute::parse(&Method::GET, "/api/v0/jobs/1");
    assert_eq!(job, Ok(ApiRoute::GetJob(None)));
}

/// A token in the place of a name once stood whole in the line that said so.
#[tokio::test]
async fn a_token_that_was_sent_as_a_name_is_in_no_line_of_the_log() {
    let site = Site::open().await;
    let text = format!("tgp_{}", "ab".repeat(36));
    let gathered = Gathered::default();
    let writer = gathered.clone();
    let logger = tracing_subscriber::registry().with(tracing_subscriber::EnvFilter::new("tidegate=debug"));
    let logged = tracing::subscriber::set_default(crate::telemetry::text(logger, false, move || writer.clone()));
    // With a single subscriber, what other tests log first on their threads
    // counts as of no interest to anyone, this one included.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    for path in [format!("/enzi/v0/accounts/{text}"), format!("/v2/a/{text}/tags/list")] {
        site.expect(404, Ask::get(&path).user("root")).await;
    }
    drop(logged);
    let told = gathered.text();
    assert!(told.contains("there is no account tgp_[removed]"), "{told}");
    assert!(!told.contains(&text), "{told}");
    site.close().await;
}

/// An account of that name could be made, and not be removed with what it held.
#[tokio::test]
async fn an_account_called_language_goes_like_others() {
    let site = Site::open().await;
    let new = json!({ "name": "language", "isOrg": true }).to_string();
    site.expect(201, Ask::post("/enzi/v0/accounts").user("root").body(new)).await;
    site.expect(200, Ask::get("/api/v0/accounts/language").user("root")).await;
    site.expect(204, Ask::delete("/api/v0/accounts/language").user("root")).await;
    site.expect(404, Ask::get("/enzi/v0/accounts/language").user("root")).await;
    site.close().await;
}

#[tokio::test]
async fn the_table_of_rights_holds_for_strangers_and_the_nameless() {
    let site = Site::open().await;
    site.push_image("bob", "bob/app", "1.0", b"layer").await;
    let registry = site.state.registry().clone();
    registry.create_team(&Caller::System, "dev", ("web".into(), String::new())).await.unwrap();
    let absent = |path: &str| path.replace("bob/app", "bob/xyz");
    for (method, path, route, _) in calls() {
        let nameless = site.send(Ask::new(method.clone(), &path)).await;
        if matches!(route, ApiRoute::ListRepositories(_)) {
            assert_eq!(nameless.json(), serde_json::json!({ "repositories": [] }), "nothing is public");
        } else {
            assert_eq!((nameless.status.as_u16(), nameless.code().as_str()), (401, "NOT_AUTHENTICATED"), "{path}");
            assert!(nameless.headers.contains_key("www-authenticate"));
        }
        site.expect(401, Ask::new(method.clone(), &path).user("gone")).await;
        let ask = |path: &str| Ask::new(method.clone(), path).user("ann").body("not json");
        let answer = site.send(ask(&path)).await;
        match route.right() {
            Right::SignedIn | Right::Own => assert_ne!(answer.status, 403, "{method} {path}"),
            Right::SystemAdmin(_)
            | Right::UnrestrictedAdmin(_)
            | Right::Namespace(_)
            | Right::Account(_)
            | Right::User(_)
            | Right::Organization(..)
            | Right::Team(..) => {
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "NOT_AUTHORIZED"), "{path}");
            }
            Right::Decided(_) if !path.contains("bob/app") => {
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "NOT_AUTHORIZED"), "{path}");
            }
            Right::Repository(_, Level::ReadOnly | Level::ReadWrite | Level::Admin)
            | Right::Delete(_)
            | Right::Decided(_) => {
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "NO_SUCH_REPOSITORY"), "{path}");
                // The same words as for one that is not there.
                let missing = site.send(ask(&absent(&path))).await;
                assert_eq!(answer.text(), missing.text().replace("bob/xyz", "bob/app"), "{method} {path}");
            }
        }
    }
    site.close().await;
}
