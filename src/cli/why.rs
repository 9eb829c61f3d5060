//! `why`: what the policies decided about a tag, and on what grounds.

use clap::Args;
use serde_json::Value;

use super::error::CliError;
use super::image::Image;
use super::rule::one_shown;
use super::run::Session;
use super::terminal::{cell, rows};

/// `why`'s words.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// The image, such as dev/website:1.4-stable
    #[arg(value_name = "REPOSITORY:TAG")]
    pub image: Image,
}

/// Asks and shows.
///
/// # Errors
/// [`CliError`].
pub async fn run(wanted: &WhyArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let answer = session.client.get(&format!("{}/decisions", wanted.image.path())).await?;
    if session.json {
        return session.terminal.json(&answer);
    }
    session.terminal.line(&format!("{}  {}", wanted.image, cell(&answer, "/digest")))?;
    if let Some(origin) = answer.pointer("/origin").and_then(Value::as_object) {
        session.terminal.line(&came_from(&Value::Object(origin.clone())))?;
    }
    let (decisions, plan) = (rows(&answer, "/decisions"), rows(&answer, "/plan"));
    if decisions.is_empty() {
        session.terminal.line("no policy has decided about it")?;
    } else {
        session.terminal.table(&COLUMNS, decisions.iter().map(row).collect())?;
    }
    if plan.is_empty() {
        return Ok(());
    }
    session.terminal.line("")?;
    session.terminal.line("if the tag were set now:")?;
    session.terminal.table(&COLUMNS, plan.iter().map(row).collect())
}

const COLUMNS: [&str; 7] = ["POLICY", "KIND", "OUTCOME", "RULE", "SAW", "TARGET", "REASON"];

/// Where the image came from, as a sentence.
fn came_from(origin: &Value) -> String {
    let [kind, host, repository, tag, at, actor] =
        ["/kind", "/host", "/repository", "/tag", "/at", "/actor"].map(|part| cell(origin, part));
    let host = if host.is_empty() { host } else { format!("{host}/") };
    let by = match cell(origin, "/policyID") {
        policy if policy.is_empty() => format!("by {actor}"),
        policy => format!("by policy {policy}"),
    };
    let how = if kind == "pull_mirror" { "pulled" } else { "promoted" };
    format!("{how} from {host}{repository}:{tag} {by} at {at}")
}

fn row(decision: &Value) -> Vec<String> {
    let rule = decision.pointer("/rule").filter(|rule| !rule.is_null());
    let target = [cell(decision, "/targetRepository"), cell(decision, "/targetTag")];
    let outdated = decision.pointer("/outdated").and_then(Value::as_bool).unwrap_or_default();
    vec![
        format!(
            "{} v{}{}",
            cell(decision, "/policyID"),
            cell(decision, "/version"),
            if outdated { " (changed since)" } else { "" }
        ),
        cell(decision, "/kind"),
        cell(decision, "/outcome"),
        rule.map(one_shown).unwrap_or_default(),
        rule.map(|rule| cell(rule, "/saw")).unwrap_or_default(),
        target.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(":"),
        cell(decision, "/reason"),
    ]
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[tokio::test]
    async fn decisions_are_shown_with_rule_value_and_reason() {
        let path = "GET /api/v0/repositories/dev/web%2Fsite/tags/1.4/decisions";
        let answer = json!({"repository": "dev/web/site", "tag": "1.4", "digest": "sha256:aa",
        "origin": {"kind": "promotion", "actor": "alice", "policyID": null, "host": null, "repository": "ci/site",
                   "tag": "1", "at": "2026-11-27T10:00:00Z"},
        "decisions": [
            {"policyID": "p1", "kind": "promotion", "version": 2, "outcome": "deny", "reason": "the rule does not hold",
             "rule": {"index": 0, "field": "tag", "operator": "ew", "values": ["-stable"], "saw": "1.4"},
             "targetRepository": "qa/site", "targetTag": null},
            {"policyID": "p2", "kind": "promotion", "version": 1, "outcome": "allow", "reason": "all rules hold",
             "rule": null, "targetRepository": "qa/all", "targetTag": "1.4", "outdated": true},
        ],
        "plan": [
            {"policyID": "p3", "kind": "promotion", "version": 1, "outcome": "deny", "reason": "the policy is disabled",
             "rule": null, "targetRepository": "qa/new", "targetTag": null},
        ]});
        let empty = json!({"digest": "sha256:aa", "decisions": [], "origin": null});
        let fake = Fake::new(vec![reply(path, 200, answer), reply(path, 200, empty)]);
        let out = fake.run(&["why", "dev/web/site:1.4"], "").await.done();
        assert_eq!(
            out,
            "dev/web/site:1.4  sha256:aa\n\
             promoted from ci/site:1 by alice at 2026-11-27T10:00:00Z\n\
             POLICY                 KIND       OUTCOME  RULE            SAW  TARGET      REASON\n\
             p1 v2                  promotion  deny     tag ew -stable  1.4  qa/site     the rule does not hold\n\
             p2 v1 (changed since)  promotion  allow                         qa/all:1.4  all rules hold\n\
             \n\
             if the tag were set now:\n\
             POLICY  KIND       OUTCOME  RULE  SAW  TARGET  REASON\n\
             p3 v1   promotion  deny                qa/new  the policy is disabled\n"
        );
        let out = fake.run(&["why", "dev/web/site:1.4"], "").await.done();
        assert_eq!(out, "dev/web/site:1.4  sha256:aa\nno policy has decided about it\n");
    }
}
