//! What ends a credential ends it in each form in which it can be shown, from the
//! next request on; and what takes a right away does so as fast.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::harness::{Answer, Ask, PASSWORD, Site, basic};

/// How something is shown.
#[derive(Clone, Debug)]
struct Shown {
    /// In words.
    told: String,
    name: &'static str,
    form: Form,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// In place of a password.
    Basic,
    /// As it is.
    Bearer,
    /// `?refresh_token=`, of the management API alone.
    Query,
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("{field}: {}", answer.text())).to_owned()
}

async fn make(site: &Site, path: &str, user: &str, form: Value) -> Answer {
    let answer = site.send(Ask::post(path).user(user).body(form.to_string())).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text());
    answer
}

/// An access token, or a robot's, in every form, and as what the token service
/// makes of it.
async fn forms(site: &Site, told: &str, name: &'static str, token: &str) -> Vec<Shown> {
    let short = site.expect(200, Ask::get("/auth/token").header("authorization", &basic(name, token))).await;
    let shown =
        |form, text: &str, how: &str| Shown { told: format!("{told} {how}"), name, form, text: text.to_owned() };
    vec![
        shown(Form::Basic, token, "as a password"),
        shown(Form::Bearer, token, "as a bearer"),
        shown(Form::Query, token, "in the query"),
        shown(Form::Bearer, &text(&short, "token"), "in a token of the token service"),
    ]
}

impl Shown {
    /// A request with it; `None` where the API does not take the form.
    fn ask(&self, path: &str) -> Option<Ask> {
        Some(match self.form {
            Form::Basic => Ask::get(path).header("authorization", &basic(self.name, &self.text)),
            Form::Bearer => Ask::get(path).header("authorization", &format!("Bearer {}", self.text)),
            Form::Query if path.starts_with("/v2") => return None,
            Form::Query => Ask::get(&format!("{path}?refresh_token={}", self.text)),
        })
    }

    /// The status on a repository's tags in both APIs, the challenge checked.
    async fn statuses(&self, site: &Site, repository: &str) -> Vec<u16> {
        let mut statuses = Vec::new();
        let paths = [format!("/v2/{repository}/tags/list"), format!("/api/v0/repositories/{repository}/tags")];
        for (path, scheme) in paths.iter().zip(["Bearer ", "Basic "]) {
            let Some(ask) = self.ask(path) else { continue };
            let answer = site.send(ask).await;
            if answer.status == 401 {
                let challenge = answer.header("www-authenticate");
                assert!(challenge.starts_with(scheme), "{}: {challenge}", self.told);
                let is_token = scheme == "Bearer " && self.form == Form::Bearer;
                assert_eq!(challenge.contains(r#"error="invalid_token""#), is_token, "{}: {challenge}", self.told);
            }
            statuses.push(answer.status.as_u16());
        }
        statuses
    }
}

async fn all_are(site: &Site, all: &[Shown], repository: &str, status: u16, why: &str) {
    for shown in all {
        let statuses = shown.statuses(site, repository).await;
        assert!(statuses.iter().all(|found| *found == status), "{why}: {} is answered {statuses:?}", shown.told);
    }
}

/// Every form in which ann can be known, and her robot: her password last, a
/// token of the token service and a session made with it.
async fn of_ann(site: &Site) -> (Vec<Shown>, Vec<Shown>) {
    let made = text(&make(site, "/api/v0/api_tokens", "ann", json!({})).await, "token");
    let mut tokens = forms(site, "a token", "ann", &made).await;
    let login = json!({ "username": "ann", "password": PASSWORD }).to_string();
    let session = text(&site.expect(200, Ask::post("/auth/login").body(&login)).await, "auth_token");
    let kept = site.expect(200, Ask::get("/auth/token?offline_token=true").user("ann")).await;
    let mut of_password = forms(site, "a session", "ann", &session).await;
    of_password.extend(forms(site, "what docker keeps", "ann", &text(&kept, "refresh_token")).await);
    let shown = |told: &str, form, text| Shown { told: told.to_owned(), name: "ann", form, text };
    of_password.push(shown("a token of the token service", Form::Bearer, text(&kept, "token")));
    of_password.push(shown("a password", Form::Basic, PASSWORD.to_owned()));
    let robot = json!({ "name": "ci", "scopes": ["ann/app:pull"] });
    let robot = text(&make(site, "/api/v0/robots/ann", "ann", robot).await, "token");
    tokens.extend(forms(site, "a robot's token", "ann+ci", &robot).await);
    (tokens, of_password)
}

#[tokio::test]
async fn an_account_that_is_not_active_any_more_is_nobody_in_every_form() {
    let site = Site::open().await;
    let (tokens, of_password) = of_ann(&site).await;
    let all = [tokens, of_password].concat();
    let active = |is: bool| Ask::patch("/enzi/v0/accounts/ann").local().body(json!({ "isActive": is }).to_string());
    all_are(&site, &all, "ann/app", 200, "the account is active").await;
    site.expect(200, active(false)).await;
    // A robot is its own, and has what its namespace's owner has left: nothing.
    let (robots, own): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|shown| shown.name == "ann+ci");
    all_are(&site, &own, "ann/app", 401, "the account is not active").await;
    for shown in robots {
        let statuses = shown.statuses(&site, "ann/app").await;
        assert!(statuses.iter().all(|status| [401, 404].contains(status)), "{}: {statuses:?}", shown.told);
    }
    site.expect(200, active(true)).await;
    all_are(&site, &all, "ann/app", 200, "the account is active again").await;
    site.expect(204, Ask::delete("/enzi/v0/accounts/ann").local()).await;
    all_are(&site, &all, "ann/app", 401, "the account is gone").await;
    site.close().await;
}

#[tokio::test]
async fn a_password_that_was_changed_ends_what_was_signed_in_with_it_in_every_form() {
    let site = Site::open().await;
    let (tokens, of_password) = of_ann(&site).await;
    let body = json!({ "oldPassword": PASSWORD, "newPassword": "another horse" }).to_string();
    site.expect(200, Ask::post("/enzi/v0/accounts/ann/changePassword").user("ann").body(body)).await;
    all_are(&site, &of_password, "ann/app", 401, "the password is another").await;
    all_are(&site, &tokens, "ann/app", 200, "those were made for good").await;
    site.close().await;
}

#[tokio::test]
async fn a_token_that_is_over_or_taken_back_is_nothing_in_every_form() {
    let site = Site::open().await;
    let end = site.state.registry().store().now().after(Duration::from_secs(120)).rfc3339();
    let ending = json!({ "expiresAt": end });
    let made = make(&site, "/api/v0/api_tokens", "ann", ending.clone()).await;
    let robot = json!({ "name": "ci", "scopes": ["ann/app:pull"], "expiresAt": end });
    let of_robot = text(&make(&site, "/api/v0/robots/ann", "ann", robot).await, "token");
    let mut ending = forms(&site, "a token with an end", "ann", &text(&made, "token")).await;
    ending.extend(forms(&site, "a robot's token with an end", "ann+ci", &of_robot).await);
    let lasting = make(&site, "/api/v0/api_tokens", "ann", json!({})).await;
    let mut taken = forms(&site, "a token", "ann", &text(&lasting, "token")).await;
    let of_robot = make(&site, "/api/v0/robots/ann/ci/tokens", "ann", json!({})).await;
    taken.extend(forms(&site, "a robot's token", "ann+ci", &text(&of_robot, "token")).await);
    let login = json!({ "username": "ann", "password": PASSWORD }).to_string();
    let session = text(&site.expect(200, Ask::post("/auth/login").body(&login)).await, "auth_token");
    let sessions = forms(&site, "a session", "ann", &session).await;
    let all = [ending.clone(), taken.clone(), sessions.clone()].concat();
    all_are(&site, &all, "ann/app", 200, "nothing is over").await;
    site.state.registry().store().clock().advance(Duration::from_secs(121));
    all_are(&site, &ending, "ann/app", 401, "its time is over").await;
    all_are(&site, &[taken.clone(), sessions.clone()].concat(), "ann/app", 200, "the others hold").await;
    for made in [&lasting, &of_robot] {
        let path = format!("/api/v0/api_tokens/{}", text(made, "hashedToken"));
        let switch = |is: bool| Ask::patch(&path).user("ann").body(json!({ "isActive": is }).to_string());
        site.expect(200, switch(false)).await;
    }
    all_are(&site, &taken, "ann/app", 401, "it rests").await;
    for made in [&lasting, &of_robot] {
        let path = format!("/api/v0/api_tokens/{}", text(made, "hashedToken"));
        site.expect(200, Ask::patch(&path).user("ann").body(r#"{"isActive":true}"#)).await;
        all_are(&site, &sessions, "ann/app", 200, "another's end is nothing to it").await;
    }
    all_are(&site, &taken, "ann/app", 200, "it works again").await;
    for made in [&lasting, &of_robot] {
        let path = format!("/api/v0/api_tokens/{}", text(made, "hashedToken"));
        site.expect(200, Ask::delete(&path).user("ann")).await;
    }
    all_are(&site, &taken, "ann/app", 401, "it was taken back").await;
    let logout = Ask::post("/auth/logout").header("authorization", &format!("Bearer {session}"));
    site.expect(204, logout).await;
    all_are(&site, &sessions, "ann/app", 401, "it signed out").await;
    site.close().await;
}

/// What gives a right, and takes it away again, both at the next request.
#[tokio::test]
async fn whatever_gives_a_right_takes_it_away_at_once_in_every_form() {
    let site = Site::open().await;
    make(&site, "/api/v0/repositories/dev", "root", json!({ "name": "app" })).await;
    make(&site, "/enzi/v0/accounts/dev/teams", "root", json!({ "name": "web" })).await;
    let made = text(&make(&site, "/api/v0/api_tokens", "ann", json!({})).await, "token");
    let mut all = forms(&site, "a token", "ann", &made).await;
    let short = text(&site.expect(200, Ask::get("/auth/token").user("ann")).await, "token");
    let shown = |told: &str, form, text: String| Shown { told: told.to_owned(), name: "ann", form, text };
    all.push(shown("a token of the token service", Form::Bearer, short));
    all.push(shown("a password", Form::Basic, PASSWORD.to_owned()));
    let put = |path: &'static str, form: Value| Ask::put(path).local().body(form.to_string());
    let patch = |path: &'static str, form: Value| Ask::patch(path).local().body(form.to_string());
    let member = "/enzi/v0/accounts/dev/members/ann";
    let in_team = "/enzi/v0/accounts/dev/teams/web/members/ann";
    let on_repository = "/api/v0/repositories/dev/app/teamAccess/web";
    let on_namespace = "/api/v0/repositoryNamespaces/dev/teamAccess/web";
    let (account, repository) = ("/enzi/v0/accounts/ann", "/api/v0/repositories/dev/app");
    let level = || json!({ "accessLevel": "read-only" });
    let steps = [
        ("nothing yet", None, 404),
        ("a team without a grant", Some(put(in_team, json!({}))), 404),
        ("a grant on the repository", Some(put(on_repository, level())), 200),
        ("out of the team", Some(Ask::delete(in_team).local()), 404),
        ("in it again", Some(put(in_team, json!({}))), 200),
        ("out of the organization", Some(Ask::delete(member).local()), 404),
        ("in the organization, not in the team", Some(put(member, json!({}))), 404),
        ("in the team", Some(put(in_team, json!({}))), 200),
        ("the grant is taken back", Some(Ask::delete(on_repository).local()), 404),
        ("a grant on the namespace", Some(put(on_namespace, level())), 200),
        ("that is taken back", Some(Ask::delete(on_namespace).local()), 404),
        ("an owner", Some(put(member, json!({ "isAdmin": true }))), 200),
        ("no owner any more", Some(put(member, json!({ "isAdmin": false }))), 404),
        ("a system admin", Some(patch(account, json!({ "isAdmin": true }))), 200),
        ("no system admin any more", Some(patch(account, json!({ "isAdmin": false }))), 404),
        ("public", Some(patch(repository, json!({ "visibility": "public" }))), 200),
        ("private again", Some(patch(repository, json!({ "visibility": "private" }))), 404),
        ("a grant again", Some(put(on_repository, level())), 200),
        ("the team is gone", Some(Ask::delete("/enzi/v0/accounts/dev/teams/web").local()), 404),
    ];
    for (why, change, status) in steps {
        if let Some(change) = change {
            let answer = site.send(change).await;
            assert!(answer.status.is_success(), "{why}: {}", answer.text());
        }
        all_are(&site, &all, "dev/app", status, why).await;
    }
    site.close().await;
}
