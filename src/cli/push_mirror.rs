//! `push-mirror create|list|delete|enable|disable|update`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::segment;
use super::error::CliError;
use super::mirror::{
    AllArgs, EnableArgs, FarArgs, Kind, OneArgs, PolicyArgs, UpdateArgs, collection, far_side, last_status, policies,
    rules, switch, update,
};
use super::run::Session;
use super::terminal::{cell, rows};
use crate::oci::RepoName;

/// What to do with push mirrors.
#[derive(Debug, Subcommand)]
pub enum PushMirrorCommand {
    /// Send images to another registry
    Create(CreateArgs),
    /// List the push mirrors of a repository, or of all
    List(AllArgs),
    /// Remove a push mirror
    Delete(OneArgs),
    /// Let a push mirror act
    Enable(EnableArgs),
    /// Keep a push mirror, and let it do nothing
    Disable(OneArgs),
    /// Give it other credentials for the far side, or another certificate to trust
    Update(UpdateArgs),
}

/// `push-mirror create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Where images are sent from
    pub repository: RepoName,
    /// The far side.
    #[command(flatten)]
    pub far: FarArgs,
    /// Rules and template.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

const COLLECTION: &str = "pushMirroringPolicies";
const KIND: Kind = Kind { collection: COLLECTION, noun: "push mirror" };

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &PushMirrorCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        PushMirrorCommand::Create(wanted) => create(wanted, session).await,
        PushMirrorCommand::List(wanted) => list(wanted, session).await,
        PushMirrorCommand::Delete(wanted) => delete(wanted, session).await,
        PushMirrorCommand::Enable(wanted) => {
            switch(KIND, &wanted.one, true, !wanted.no_initial_evaluation, session).await
        }
        PushMirrorCommand::Disable(wanted) => switch(KIND, wanted, false, false, session).await,
        PushMirrorCommand::Update(wanted) => update(KIND, wanted, session).await,
    }
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = wanted.policy.to_json();
    body.extend(wanted.far.to_json(session)?);
    let path = collection(&wanted.repository, COLLECTION) + wanted.policy.query();
    let policy = session.client.post(&path, &Value::Object(body)).await?;
    let line = format!("created push mirror {}: {} to {}", cell(&policy, "/id"), wanted.repository, far_side(&policy));
    session.say(&policy, &line)
}

async fn list(wanted: &AllArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let policies = policies(KIND, "", wanted.repository.as_ref(), session).await?;
    let row = |policy: &Value| {
        let mut row = vec![
            cell(policy, "/id"),
            far_side(policy),
            cell(policy, "/tagTemplate"),
            rules(policy),
            cell(policy, "/enabled"),
            cell(policy, "/lastMirroredAt"),
            last_status(policy),
        ];
        if wanted.repository.is_none() {
            row.insert(1, cell(policy, "/localRepository"));
        }
        row
    };
    let shown = rows(&policies, "").iter().map(row).collect();
    let mut header = vec!["ID", "TO", "TAG", "RULES", "ENABLED", "LAST MIRRORED", "STATUS"];
    if wanted.repository.is_none() {
        header.insert(1, "FROM");
    }
    session.show(&policies, &header, shown)
}

async fn delete(wanted: &OneArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let path = format!("{}/{}", collection(&wanted.repository, COLLECTION), segment(&wanted.id));
    // To the API one that is not there is gone already; here it is a slip.
    session.client.get(&path).await?;
    let answer = session.client.delete(&path).await?;
    session.say(&answer, &format!("deleted push mirror {} of {}", wanted.id, wanted.repository))
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    const POLICIES: &str = "/api/v0/repositories/dev/x/pushMirroringPolicies";

    #[tokio::test]
    async fn a_mirror_goes_over_with_its_secret_and_ca() {
        let answer = json!({"id": "m1", "remoteHost": "https://far", "remoteRepository": "a/b"});
        let fake = Fake::new(vec![reply(&format!("POST {POLICIES}?initialEvaluation=false"), 201, answer)]);
        let ca = rcgen::generate_simple_self_signed(vec!["far".to_owned()]).unwrap().cert.pem();
        std::fs::write(fake.environment().current_dir.join("ca.pem"), &ca).unwrap();
        let words = "push-mirror create dev/x --remote https://far --remote-repository a/b --username bot \
                     --password-stdin --ca ca.pem --no-initial-evaluation";
        let out = fake.run(&words.split_whitespace().collect::<Vec<_>>(), "s3cret\n").await.done();
        assert_eq!(out, "created push mirror m1: dev/x to https://far a/b\n");
        let sent = json!({"enabled": true, "rules": [], "tagTemplate": "%n", "remoteHost": "https://far",
            "remoteRepository": "a/b", "username": "bot", "password": "s3cret", "authToken": "", "remoteCA": ca,
            "skipTLSVerification": false});
        assert_eq!(fake.seen()[0].body, sent);
    }

    #[tokio::test]
    async fn a_token_is_no_password_and_a_password_needs_a_name() {
        let fake = Fake::new(vec![reply(&format!("POST {POLICIES}?initialEvaluation=true"), 201, json!({"id": "m"}))]);
        let base = ["push-mirror", "create", "dev/x", "--remote", "far", "--remote-repository", "a/b"];
        fake.run(&[&base[..], &["--token-stdin"]].concat(), "tok").await.done();
        let body = fake.seen().remove(0).body;
        assert_eq!((&body["password"], &body["authToken"]), (&json!(""), &json!("tok")));
        assert_eq!(fake.run(&[&base[..], &["--password-stdin"]].concat(), "p").await.exit, Exit::Usage);
        let both = [&base[..], &["--username", "u", "--password-stdin", "--token-stdin"]].concat();
        assert_eq!(fake.run(&both, "p").await.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn mirrors_are_listed_with_their_last_result_and_deleted() {
        let policy = json!({"id": "m1", "remoteHost": "https://far", "remoteRepository": "a/b", "tagTemplate": "%n",
            "rules": [{"field": "tag", "operator": "eq", "values": ["1"]}], "enabled": false,
            "lastMirroredAt": "2026-11-01T00:00:00.000000Z",
            "lastStatus": {"code": "FAILED", "detail": "connection refused", "timestamp": "x"}});
        let fake = Fake::new(vec![
            reply(&format!("GET {POLICIES}"), 200, json!([policy])),
            reply(&format!("GET {POLICIES}/m1"), 200, json!({"id": "m1"})),
            reply(&format!("DELETE {POLICIES}/m1"), 204, Value::Null),
        ]);
        let out = fake.run(&["push-mirror", "list", "dev/x"], "").await.done();
        let row =
            "m1  https://far a/b  %n   tag eq 1  no       2026-11-01T00:00:00.000000Z  FAILED: connection refused";
        assert_eq!(out.lines().nth(1), Some(row), "{out}");
        fake.run(&["push-mirror", "delete", "dev/x", "m1"], "").await.done();
    }
}
