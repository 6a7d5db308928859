//! A repository in a registry, or a folder in OCI layout: the hosted control plane's `OCIRegistryRepository`, and two keys of ours
//! (`oci_layout`, `PlainHTTP`). The hosted keys are Go field names, hence the spelling.

use super::{
    Defect, Secret,
    macros::{choice, object},
    reader::{Object, Reader},
    syntax,
};

choice! {
    /// How to authenticate to a registry, or that there is none.
    RegistryType is "a registry type" {
        /// Amazon Elastic Container Registry.
        Ecr = "ecr",
        /// Azure Container Registry.
        Acr = "acr",
        /// Google Artifact Registry.
        Gar = "gar",
        /// Any registry, with user name and password or the credentials this machine has for it.
        PrivateOci = "private_oci",
        /// Any registry, with no credentials needed.
        PublicOci = "public_oci",
        /// A folder in OCI image layout.
        OciLayout = "oci_layout",
    }
}

object! {
    /// A repository in a registry, or a folder.
    #[derive(Debug)]
    pub struct Registry {
        /// Name of the plugin that made the object; not used.
        plugin: Option<String> = ["Plugin", "plugin"],
        /// What kind of registry it is.
        registry_type: RegistryType = ["RegistryType", "registry_type"],
        /// Region of the registry.
        region: Option<String> = ["Region", "region"],
        /// Amazon credentials, for `ecr`.
        ecr_auth: Option<AwsAuth> = ["ECRAuth", "ecr_auth"],
        /// Azure credentials, for `acr`.
        acr_auth: Option<AzureAuth> = ["ACRAuth", "acr_auth"],
        /// User name and password.
        oci_auth: Option<OciAuth> = ["OCIAuth", "oci_auth"],
        /// Repository with or without host; for `oci_layout` the folder, relative to the job file.
        repository: String = ["Repository", "repository"],
        /// Host of the registry when the repository does not have it.
        login_server: Option<String> = ["LoginServer", "login_server"],
        /// Google service account to act as, for `gar`.
        service_account_email: Option<String> = ["ServiceAccountEmail", "service_account_email"],
        /// Google workload identity provider, for `gar`.
        workload_identity_provider: Option<String> = ["WorkloadIdentityProvider", "workload_identity_provider"],
        /// Organisation at the hosted control plane; not used.
        org_id: Option<String> = ["OrgID", "org_id"],
        /// Cloud connection at the hosted control plane; not used.
        cloud_connection_id: Option<String> = ["CloudConnectionID", "cloud_connection_id"],
        /// Azure app registration, for `acr`.
        acr_app_registration: Option<AcrAppRegistration> = ["ACRAppRegistration", "acr_app_registration"],
        /// Whether to speak HTTP without TLS.
        plain_http: bool = ["PlainHTTP", "plain_http"] or false,
    }
    check check_registry;
    blank true;
}

impl Registry {
    /// A registry of that type with nothing else set.
    #[must_use]
    pub fn new(registry_type: RegistryType, repository: impl Into<String>) -> Self {
        Self {
            plugin: None,
            registry_type,
            region: None,
            ecr_auth: None,
            acr_auth: None,
            oci_auth: None,
            repository: repository.into(),
            login_server: None,
            service_account_email: None,
            workload_identity_provider: None,
            org_id: None,
            cloud_connection_id: None,
            acr_app_registration: None,
            plain_http: false,
        }
    }
}

fn check_registry(value: &Registry, object: &Object<'_>, r: &mut Reader<'_>) {
    let contradictions: [(bool, &str, &'static str); 6] = [
        (
            value.registry_type != RegistryType::Ecr && value.ecr_auth.is_some(),
            "ECRAuth",
            "is for RegistryType ecr; remove it or change the type",
        ),
        (
            value.registry_type != RegistryType::Acr && (value.acr_auth.is_some()),
            "ACRAuth",
            "is for RegistryType acr; remove it or change the type",
        ),
        (
            value.registry_type != RegistryType::Acr && value.acr_app_registration.is_some(),
            "ACRAppRegistration",
            "is for RegistryType acr; remove it or change the type",
        ),
        (
            value.registry_type == RegistryType::OciLayout && value.oci_auth.is_some(),
            "OCIAuth",
            "means nothing for an oci_layout folder; remove it",
        ),
        (
            value.registry_type == RegistryType::OciLayout && value.login_server.is_some(),
            "LoginServer",
            "means nothing for an oci_layout folder; remove it",
        ),
        (
            value.registry_type == RegistryType::OciLayout && value.plain_http,
            "PlainHTTP",
            "means nothing for an oci_layout folder; remove it",
        ),
    ];
    // A control plane may fill in more than it needs to.
    let strict = r.is_job_file();
    for (_, name, why) in contradictions.into_iter().filter(|(wrong, ..)| *wrong && strict) {
        object.report(r, name, Defect::Contradiction(why));
    }
    if value.registry_type == RegistryType::OciLayout {
        object.is_local_path(r, "Repository");
        if value.repository.contains('\0') || value.repository.contains("://") {
            object.report(r, "Repository", Defect::Contradiction("has to be the path of a folder, relative to the job file or absolute"));
        }
        return;
    }
    object.check(r, "Repository", syntax::repository(&value.repository));
    if let Some(server) = &value.login_server {
        let host = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server).trim_end_matches('/');
        if !syntax::is_host(host) {
            object.report(r, "LoginServer", Defect::Contradiction("is not a host; write HOST or HOST:PORT"));
        }
    }
}

object! {
    /// User name and password for a registry.
    #[derive(Debug)]
    pub struct OciAuth {
        /// User name; `<token>` with an identity token as password.
        username: Option<String> = ["Username", "username"],
        /// Password or token.
        password: Option<Secret> = ["Password", "password"],
    }
    check check_oci_auth;
    blank true;
}

fn check_oci_auth(value: &OciAuth, object: &Object<'_>, r: &mut Reader<'_>) {
    if value.username.is_some() && value.password.is_none() {
        object.report(r, "Password", Defect::Missing { expected: "the password that belongs to Username" });
    }
    if value.username.is_none() && value.password.is_some() {
        object.report(r, "Username", Defect::Missing { expected: "the user name that belongs to Password" });
    }
}

object! {
    /// Amazon credentials and roles.
    #[derive(Debug)]
    pub struct AwsAuth {
        /// A key pair.
        static_credentials: Option<AwsStatic> = ["static"],
        /// A role to take on.
        assume_role: Option<AwsAssumeRole> = ["assume_role"],
        /// A profile of the shared configuration.
        profile: Option<String> = ["profile"],
        /// Whether to use what the machine has.
        use_default: bool = ["use_default"] or false,
        /// Key under which the hosted control plane caches the credentials; not used.
        cache_id: Option<String> = ["cache_id"],
        /// Region.
        region: Option<String> = ["region"],
        /// Whether to use Google's identity to get a role.
        use_gcp_oidc: bool = ["use_gcp_oidc"] or false,
    }
    blank true;
}

object! {
    /// An Amazon key pair.
    #[derive(Debug)]
    pub struct AwsStatic {
        /// Key id.
        access_key_id: String = ["access_key_id"],
        /// The key.
        secret_access_key: Secret = ["secret_access_key"],
        /// Token of a session.
        session_token: Option<Secret> = ["session_token"],
    }
    blank true;
}

object! {
    /// An Amazon role to take on.
    #[derive(Debug)]
    pub struct AwsAssumeRole {
        /// ARN of the role.
        role_arn: String = ["role_arn"],
        /// Name of the session, for Amazon's records.
        session_name: Option<String> = ["session_name"],
        /// How long the credentials are good for; Amazon's default when 0.
        session_duration_seconds: u32 = ["session_duration_seconds"] or 0,
        /// A role to take on before.
        two_step_config: Option<AwsTwoStep> = ["two_step_config"],
        /// Whether to use GitHub's identity to get the role.
        use_github_oidc: bool = ["use_github_oidc"] or false,
    }
    blank true;
}

object! {
    /// The first of two Amazon roles.
    #[derive(Debug)]
    pub struct AwsTwoStep {
        /// ARN of the first role.
        iam_role_arn: Option<String> = ["iam_role_arn"],
        /// Key pair to take it on with.
        src_static_credentials: Option<AwsStatic> = ["src_static_credentials"],
        /// Role to take it on with.
        src_iam_role_arn: Option<String> = ["src_iam_role_arn"],
    }
    blank true;
}

object! {
    /// Azure credentials.
    #[derive(Debug)]
    pub struct AzureAuth {
        /// Subscription to use.
        service_principal: Option<AzurePrincipal> = ["service_principal"],
        /// Whether to use what the machine has.
        use_default: bool = ["use_default"] or false,
    }
    blank true;
}

object! {
    /// An Azure subscription.
    #[derive(Debug)]
    pub struct AzurePrincipal {
        /// Subscription.
        subscription_id: Option<String> = ["subscription_id"],
        /// Tenant of it.
        subscription_tenant_id: Option<String> = ["subscription_tenant_id"],
    }
    blank true;
}

object! {
    /// An Azure app registration.
    #[derive(Debug)]
    pub struct AcrAppRegistration {
        /// Component it belongs to; not used.
        component_id: Option<String> = ["ComponentID", "component_id"],
        /// Connection it belongs to; not used.
        connection_id: Option<String> = ["ConnectionID", "connection_id"],
        /// Tenant.
        tenant_id: Option<String> = ["TenantID", "tenant_id"],
        /// Client.
        client_id: Option<String> = ["ClientID", "client_id"],
        /// Name of the secret that holds the client secret.
        client_secret_name: Option<String> = ["ClientSecretName", "client_secret_name"],
        /// Name of the secret that holds the client certificate.
        client_certificate_name: Option<String> = ["ClientCertificateName", "client_certificate_name"],
    }
    blank true;
}
