//! Which routes there are, by name. A match without a catch-all for each enum of
//! routes: whoever adds a variant adds it here, or nothing compiles, and then
//! the table of the matrix wants a row for it.

use http::Method;

use crate::http::Query;
use crate::http::api::{ApiRoute, EnziRoute};
use crate::http::route::Route;
use crate::http::token::Auth;
use crate::http::v2::Call;

macro_rules! kinds {
    ($function:ident, $all:ident, $of:ident, $prefix:literal: $($variant:ident)*) => {
        fn $function(route: &$of) -> &'static str {
            match route {
                $($of::$variant { .. } => concat!($prefix, stringify!($variant)),)*
            }
        }

        const $all: &[&str] = &[$(concat!($prefix, stringify!($variant))),*];
    };
}

kinds! { of_route, ROUTES, Route, "": V2 Api Auth Setup Ca Ping Health Metrics ReadOnly Nothing }

kinds! { of_auth, AUTHS, Auth, "auth.": Token Grant Login IdLogin Logout Method }

kinds! {
    of_call, CALLS, Call, "v2.":
    Base Catalog Tags Referrers GetManifest PutManifest DeleteManifest GetBlob DeleteBlob BeginUpload PutBlob Mount
    UploadProgress AppendUpload FinishUpload CancelUpload
}

kinds! {
    of_api, APIS, ApiRoute, "api.":
    Enzi ListTeamAccess GrantTeam RevokeTeam ListNamespaceAccess GetNamespaceAccess GrantNamespace RevokeNamespace
    TeamRepositories UserAccess DeleteNamespace EmptyNamespace Language UserSettings UpdateUserSettings Settings
    UpdateSettings ListTokens CreateToken CleanUpTokens GetToken UpdateToken DeleteToken ListRobots CreateRobot
    GetRobot UpdateRobot DeleteRobot ListRobotTokens CreateRobotToken ListCertificates MapCertificate UnmapCertificate
    Features Version Verify ScrubStatus ListQuarantine CheckRemote ListRepositories CreateRepository GetRepository
    UpdateRepository DeleteRepository ListQuotas SetQuota GetQuotas ListTags GetTag TagsOf RestoreTag DeleteTag
    TagHistory Decisions PromoteTag PushTag ListManifests DeleteManifest ListPolicies CreatePolicy GetPolicy
    UpdatePolicy DeletePolicy TestPromotion RunPull ListMirrors DeleteMirrors ListJobs CreateJob GetJob DeleteJob
    CancelJob JobLogs BeginBackup EndBackup BackupFile BackupKeys ListSealingKeys AddSealingKey RetireSealingKey Audit
}

kinds! {
    of_enzi, ENZIS, EnziRoute, "enzi.":
    ListAccounts CreateAccount ChangeAccounts GetAccount UpdateAccount DeleteAccount ChangePassword OrganizationsOf
    WhoAmI ImportAccounts ListMembers GetMember PutMember RemoveMember TeamsOf ListTeams CreateTeam GetTeam UpdateTeam
    DeleteTeam ListTeamMembers GetTeamMember PutTeamMember RemoveTeamMember TeamSync TeamGroup OwnerSync AuthConfig
    LdapConfig AccountsConfig CreateJob ListJobs GetJob JobLogs CancelJob ListWorkers PingWorker
}

/// What a request is, by name. What each of several routes stands behind has the
/// name of the one behind it; what is none of its API is `v2.none` or `api.none`.
pub(super) fn of(method: &Method, path: &str) -> &'static str {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    match Route::parse(method, path, &Query::parse(query)) {
        Route::V2(Ok(call)) => of_call(&call),
        Route::V2(Err(_)) => "v2.none",
        Route::Auth(auth) => of_auth(&auth),
        Route::Api => match ApiRoute::parse(method, path) {
            Ok(ApiRoute::Enzi(route)) => of_enzi(&route),
            Ok(route) => of_api(&route),
            Err(_) => "api.none",
        },
        route => of_route(&route),
    }
}

/// Every name that [`of`] gives.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let behind = ["V2", "Api", "Auth", "api.Enzi"];
    let named = [ROUTES, AUTHS, CALLS, APIS, ENZIS].into_iter().flatten().copied();
    named.filter(move |name| !behind.contains(name)).chain(["v2.none", "api.none"])
}
