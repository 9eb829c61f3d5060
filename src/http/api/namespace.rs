//! Namespaces that go with all that is in them.

use crate::registry::account_removal::Emptied;

use super::answer::Answer;
use super::call::Call;
use super::error::ApiError;

/// `DELETE /api/v0/accounts/{namespace}`: the account and its repositories;
/// what is gone is gone.
pub(super) async fn delete(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    Ok(told(&call.registry().delete_namespace(call.caller, namespace).await?))
}

/// `DELETE /api/v0/accounts/{namespace}/repositories`: the repositories alone.
pub(super) async fn empty(call: Call<'_>, namespace: &str) -> Result<Answer, ApiError> {
    Ok(told(&call.registry().empty_namespace(call.caller, namespace).await?))
}

fn told(emptied: &Emptied) -> Answer {
    tracing::info!(repositories = emptied.repositories, "the repositories of a namespace were deleted");
    let left = emptied.left.iter();
    let warnings: Vec<String> = left
        .map(|(source, policy)| format!("policy {policy} of {source} promotes into a repository that is gone"))
        .collect();
    Answer::nothing().warn(&warnings)
}
