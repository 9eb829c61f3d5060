//! `promotion create|list|delete|enable|disable|test`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::segment;
use super::error::CliError;
use super::mirror::{AllArgs, EnableArgs, Kind, OneArgs, PolicyArgs, collection, policies, rules, switch};
use super::rule::Rule;
use super::run::Session;
use super::terminal::{cell, rows};
use crate::oci::RepoName;

/// What to do with promotion policies.
#[derive(Debug, Subcommand)]
pub enum PromotionCommand {
    /// Promote images from one repository to another
    Create(CreateArgs),
    /// List the policies of a repository, or of all
    List(ListArgs),
    /// Remove a policy
    Delete(OneArgs),
    /// Let a policy act
    Enable(EnableArgs),
    /// Keep a policy, and let it do nothing
    Disable(OneArgs),
    /// Show what a policy would do with what is there now, and save nothing
    Test(TestArgs),
}

/// `promotion create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Where images are promoted from
    pub source: RepoName,
    /// Where they are promoted to
    pub target: RepoName,
    /// Rules and template.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// `promotion list`'s flags.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The repository.
    #[command(flatten)]
    pub of: AllArgs,
    /// Those that promote into it, not out of it
    #[arg(long, requires = "repository")]
    pub into: bool,
}

/// `promotion test`'s flags.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Where images would be promoted from
    pub source: RepoName,
    /// Where they would be promoted to
    pub target: RepoName,
    /// Only images that meet it: 'FIELD OPERATOR VALUE[,VALUE…]'; repeat it, and all must hold
    #[arg(long, value_name = "RULE")]
    pub rule: Vec<Rule>,
    /// The tag at the target; %n is the image's own
    #[arg(long, value_name = "TEMPLATE", default_value = "%n")]
    pub tag_template: String,
}

const COLLECTION: &str = "promotionPolicies";
const KIND: Kind = Kind { collection: COLLECTION, noun: "promotion" };

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &PromotionCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        PromotionCommand::Create(wanted) => create(wanted, session).await,
        PromotionCommand::List(wanted) => list(wanted, session).await,
        PromotionCommand::Delete(wanted) => delete(wanted, session).await,
        PromotionCommand::Enable(wanted) => {
            switch(KIND, &wanted.one, true, !wanted.no_initial_evaluation, session).await
        }
        PromotionCommand::Disable(wanted) => switch(KIND, wanted, false, false, session).await,
        PromotionCommand::Test(wanted) => test(wanted, session).await,
    }
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = wanted.policy.to_json();
    body.insert("targetRepository".to_owned(), json!(wanted.target));
    let path = collection(&wanted.source, COLLECTION) + wanted.policy.query();
    let policy = session.client.post(&path, &Value::Object(body)).await?;
    let line = format!("created promotion {}: {} to {}", cell(&policy, "/id"), wanted.source, wanted.target);
    session.say(&policy, &line)
}

async fn list(wanted: &ListArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let query = format!("?source={}", !wanted.into);
    let policies = policies(KIND, &query, wanted.of.repository.as_ref(), session).await?;
    let row = |policy: &Value| {
        vec![
            cell(policy, "/id"),
            cell(policy, "/sourceRepository"),
            cell(policy, "/targetRepository"),
            cell(policy, "/tagTemplate"),
            rules(policy),
            cell(policy, "/enabled"),
            cell(policy, "/lastPromotedAt"),
        ]
    };
    let shown = rows(&policies, "").iter().map(row).collect();
    session.show(&policies, &["ID", "SOURCE", "TARGET", "TAG", "RULES", "ENABLED", "LAST PROMOTED"], shown)
}

async fn delete(wanted: &OneArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let path = format!("{}/{}", collection(&wanted.repository, COLLECTION), segment(&wanted.id));
    // To the API one that is not there is gone already; here it is a slip.
    session.client.get(&path).await?;
    let answer = session.client.delete(&path).await?;
    session.say(&answer, &format!("deleted promotion {} of {}", wanted.id, wanted.repository))
}

async fn test(wanted: &TestArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let rules: Vec<Value> = wanted.rule.iter().map(Rule::to_json).collect();
    let body = json!({"rules": rules, "tagTemplate": wanted.tag_template, "targetRepository": wanted.target});
    let plan = session.client.post(&format!("{}/test", collection(&wanted.source, COLLECTION)), &body).await?;
    let row = |decision: &Value| {
        ["/tag", "/outcome", "/targetTag", "/reason", "/digest"].map(|part| cell(decision, part)).to_vec()
    };
    let shown = rows(&plan, "/decisions").iter().map(row).collect();
    session.show(&plan, &["TAG", "OUTCOME", "TARGET TAG", "REASON", "DIGEST"], shown)
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    const POLICIES: &str = "/api/v0/repositories/dev/web%2Fsite/promotionPolicies";

    #[tokio::test]
    async fn a_policy_goes_over_as_dtrs_object() {
        let fake = Fake::new(vec![
            reply(&format!("POST {POLICIES}?initialEvaluation=true"), 201, json!({"id": "p1"})),
            reply(&format!("POST {POLICIES}?initialEvaluation=false"), 201, json!({"id": "p2"})),
        ]);
        let out = fake.run(&["promotion", "create", "dev/web/site", "qa/site"], "").await.done();
        assert_eq!(out, "created promotion p1: dev/web/site to qa/site\n");
        let all = json!({"enabled": true, "rules": [], "tagTemplate": "%n", "targetRepository": "qa/site"});
        assert_eq!(fake.seen()[0].body, all);
        let words = "promotion create dev/web/site qa/site --tag-template %n-%Y --disabled --no-initial-evaluation";
        let mut words: Vec<&str> = words.split(' ').collect();
        words.extend(["--rule", "tag ew -stable", "--rule", "tag noo a,b"]);
        fake.run(&words, "").await.done();
        let some = json!({"enabled": false, "tagTemplate": "%n-%Y", "targetRepository": "qa/site", "rules": [
            {"field": "tag", "operator": "ew", "values": ["-stable"]},
            {"field": "tag", "operator": "noo", "values": ["a", "b"]},
        ]});
        assert_eq!(fake.seen()[1].body, some);
    }

    #[tokio::test]
    async fn policies_are_listed_from_either_side_and_deleted() {
        let policy = json!({"id": "p1", "sourceRepository": "dev/web/site", "targetRepository": "qa/site",
            "tagTemplate": "%n", "rules": [], "enabled": true, "lastPromotedAt": null});
        let fake = Fake::new(vec![
            reply(&format!("GET {POLICIES}?source=true"), 200, json!([policy])),
            reply(&format!("GET {POLICIES}?source=false"), 200, json!([])),
            reply(&format!("GET {POLICIES}/p1"), 200, json!({"id": "p1"})),
            reply(&format!("DELETE {POLICIES}/p1"), 204, Value::Null),
            reply(
                &format!("GET {POLICIES}/nope"),
                404,
                json!({"errors": [{"code": "NO_SUCH_PROMOTION_POLICY", "message": "no"}]}),
            ),
        ]);
        let out = fake.run(&["promotion", "list", "dev/web/site"], "").await.done();
        assert_eq!(
            out,
            "ID  SOURCE        TARGET   TAG  RULES      ENABLED  LAST PROMOTED\n\
             p1  dev/web/site  qa/site  %n   every tag  yes\n"
        );
        let out = fake.run(&["promotion", "list", "dev/web/site", "--into"], "").await.done();
        assert_eq!(out.lines().count(), 1, "a header alone");
        fake.run(&["promotion", "delete", "dev/web/site", "p1"], "").await.done();
        let ran = fake.run(&["promotion", "delete", "dev/web/site", "nope"], "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failure, ""), "nothing was deleted: {}", ran.err);
    }

    #[tokio::test]
    async fn what_the_daemon_warns_of_is_told_and_the_answer_stays_clean() {
        let request = format!("POST {POLICIES}?initialEvaluation=true");
        let answer = json!({"id": "p1", "warnings": ["it leads back to dev/web/site"]});
        let fake = Fake::new(vec![reply(&request, 201, answer.clone()), reply(&request, 201, answer)]);
        for words in [
            &["promotion", "create", "dev/web/site", "qa/site"][..],
            &["promotion", "create", "dev/web/site", "qa/site", "--json"],
        ] {
            let ran = fake.run(words, "").await;
            assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, "warning: it leads back to dev/web/site\n"));
            assert!(!ran.out.contains("warning:"), "{}", ran.out);
        }
    }

    #[tokio::test]
    async fn a_test_shows_the_plan() {
        let plan = json!({"decisions": [{"tag": "1.0", "digest": "sha256:aa", "outcome": "deny", "targetTag": "",
            "reason": "tag does not end with -stable"}]});
        let fake = Fake::new(vec![reply(&format!("POST {POLICIES}/test"), 200, plan)]);
        let words = ["promotion", "test", "dev/web/site", "qa/site", "--rule", "tag ew -stable"];
        let out = fake.run(&words, "").await.done();
        assert!(out.contains("1.0  deny"), "{out}");
        let sent = json!({"rules": [{"field": "tag", "operator": "ew", "values": ["-stable"]}],
            "tagTemplate": "%n", "targetRepository": "qa/site"});
        assert_eq!(fake.seen()[0].body, sent);
    }
}
