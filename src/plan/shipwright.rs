//! `shipwright-build`: a BuildRun of a Shipwright Build (`shipwright.io/v1beta1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Build, Defect, GoDuration, Quantity, SecretRef, Text,
    envelope::BuildPlan,
    macros::{choice, object},
    reader::{Object, Reader},
    syntax,
};

object! {
    /// A BuildRun and the Build it runs.
    #[derive(Debug)]
    pub struct ShipwrightBuildPlan {
        /// Namespace of Build and BuildRun.
        namespace: String = ["namespace"],
        /// The Build: by name, by spec, or both for one that is applied first.
        build: ShipwrightBuild = ["build"],
        /// Where the image goes, instead of where the Build says.
        output: Option<ShipwrightOutput> = ["output"],
        /// Parameters of the strategy.
        param_values: Vec<ParamValue> = ["param_values"],
        /// Environment of the steps.
        env: Vec<EnvVar> = ["env"],
        /// How long the BuildRun may take.
        timeout: Option<GoDuration> = ["timeout"],
        /// Service account of the pod.
        service_account: Option<String> = ["service_account"],
        /// Labels of the nodes it may run on.
        node_selector: BTreeMap<String, String> = ["node_selector"],
        /// Taints it tolerates, as Kubernetes writes them.
        tolerations: Vec<Map<String, Value>> = ["tolerations"],
        /// Resources of single steps.
        step_resources: Vec<StepResources> = ["step_resources"],
        /// When the BuildRun is removed.
        retention: Option<Retention> = ["retention"],
        /// What a cancelled job does to the BuildRun.
        on_cancel: OnCancel = ["on_cancel"] or OnCancel::Cancel,
        /// Name of the BuildRun; made up from job and inputs when absent.
        run_name: Option<String> = ["run_name"],
        /// An object that the BuildRun belongs to.
        owner: Option<Owner> = ["owner"],
    }
    check check_shipwright;
}

fn check_shipwright(value: &ShipwrightBuildPlan, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "namespace", syntax::kubernetes_name(&value.namespace, false));
    if let Some(name) = &value.run_name {
        object.check(r, "run_name", syntax::kubernetes_name(name, false));
    }
    let mut names = Vec::new();
    for param in &value.param_values {
        if names.contains(&&param.name) {
            let name = syntax::shown(&param.name);
            object.report(
                r,
                "param_values",
                Defect::Reference { problem: "more than one value for parameter", name, remedy: "keep one".into() },
            );
        }
        names.push(&param.name);
    }
}

object! {
    /// A Build: `{"name"}` one that exists, `{"spec"}` one embedded in the BuildRun, both one that is applied first.
    #[derive(Debug)]
    pub struct ShipwrightBuild {
        /// Name of the Build.
        name: Option<String> = ["name"],
        /// Spec of the Build, as `shipwright.io/v1beta1` has it.
        spec: Option<Map<String, Value>> = ["spec"],
    }
    check check_build;
}

fn check_build(value: &ShipwrightBuild, object: &Object<'_>, r: &mut Reader<'_>) {
    if let Some(name) = &value.name {
        object.check(r, "name", syntax::kubernetes_name(name, false));
    } else if value.spec.is_none() {
        object.report(r, "name", Defect::Missing { expected: "the name of a Build, or spec" });
    }
}

object! {
    /// Where the image goes.
    #[derive(Debug)]
    pub struct ShipwrightOutput {
        /// Image reference.
        image: String = ["image"],
        /// Whether the registry has no valid certificate.
        insecure: bool = ["insecure"] or false,
        /// Name of the Secret with credentials.
        push_secret: Option<String> = ["push_secret"],
        /// Annotations of the image.
        annotations: BTreeMap<String, String> = ["annotations"],
        /// Labels of the image.
        labels: BTreeMap<String, String> = ["labels"],
        /// Time stamp of the image: `Zero`, `SourceTimestamp`, `BuildTimestamp` or seconds.
        timestamp: Option<Text> = ["timestamp"],
    }
    check check_output;
}

fn check_output(value: &ShipwrightOutput, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "image", syntax::image(&value.image));
}

object! {
    /// The value of a strategy's parameter; exactly one of the four.
    #[derive(Debug)]
    pub struct ParamValue {
        /// Name of the parameter.
        name: String = ["name"],
        /// A text.
        value: Option<Text> = ["value"],
        /// A list of texts.
        values: Option<Vec<Text>> = ["values"],
        /// A key of a ConfigMap.
        config_map_value: Option<KeyRef> = ["config_map_value"],
        /// A key of a Secret.
        secret_value: Option<KeyRef> = ["secret_value"],
    }
    check check_param;
}

fn check_param(value: &ParamValue, object: &Object<'_>, r: &mut Reader<'_>) {
    let given = [value.value.is_some(), value.values.is_some(), value.config_map_value.is_some(), value.secret_value.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        r.report(object.at, Defect::Contradiction("needs exactly one of value, values, config_map_value and secret_value"));
    }
}

object! {
    /// A key of a ConfigMap or Secret.
    #[derive(Debug)]
    pub struct KeyRef {
        /// Name of the object.
        name: String = ["name"],
        /// Key in it.
        key: String = ["key"],
        /// Text around the value, `${…_VALUE}` standing for it.
        format: Option<String> = ["format"],
    }
}

object! {
    /// An environment variable.
    #[derive(Debug)]
    pub struct EnvVar {
        /// Name.
        name: String = ["name"],
        /// Value; empty when absent.
        value: Option<Text> = ["value"],
        /// A key of a Secret instead.
        secret_ref: Option<SecretRef> = ["secret_ref"],
    }
    check check_env;
}

fn check_env(value: &EnvVar, object: &Object<'_>, r: &mut Reader<'_>) {
    object.check(r, "name", syntax::variable_name(&value.name));
    if value.value.is_some() && value.secret_ref.is_some() {
        object.report(r, "value", Defect::Contradiction("is given beside secret_ref; keep one"));
    }
}

object! {
    /// Resources of one step.
    #[derive(Debug)]
    pub struct StepResources {
        /// Name of the step.
        name: String = ["name"],
        /// What it asks for and may use.
        resources: Resources = ["resources"],
    }
}

object! {
    /// What a container asks for and may use, as Kubernetes writes it.
    #[derive(Debug)]
    pub struct Resources {
        /// What it is sure to get: cpu, memory, ephemeral-storage.
        requests: BTreeMap<String, Quantity> = ["requests"],
        /// The most it may use.
        limits: BTreeMap<String, Quantity> = ["limits"],
    }
    check check_resources;
}

fn check_resources(value: &Resources, object: &Object<'_>, r: &mut Reader<'_>) {
    for (name, request) in &value.requests {
        if value.limits.get(name).is_some_and(|limit| limit.millis() < request.millis()) {
            let name = syntax::shown(name);
            let remedy = "raise the limit or lower the request".into();
            object.report(r, "requests", Defect::Reference { problem: "the limit is below the request of", name, remedy });
        }
    }
}

object! {
    /// When a BuildRun is removed.
    #[derive(Debug)]
    pub struct Retention {
        /// So long after it failed.
        ttl_after_failed: Option<GoDuration> = ["ttl_after_failed"],
        /// So long after it succeeded.
        ttl_after_succeeded: Option<GoDuration> = ["ttl_after_succeeded"],
        /// Whether it stays when the job is over.
        keep: Option<Keep> = ["keep"],
    }
}

choice! {
    /// When a BuildRun stays although its job is over.
    Keep is "a retention" {
        /// In every case.
        Always = "always",
        /// When it failed.
        OnFailure = "on-failure",
        /// In no case.
        Never = "never",
    }
}

choice! {
    /// What a cancelled job does to its BuildRun.
    OnCancel is "a reaction" {
        /// It is cancelled too.
        Cancel = "cancel",
        /// It goes on.
        Leave = "leave",
    }
}

object! {
    /// An object that another one belongs to.
    #[derive(Debug)]
    pub struct Owner {
        /// Its group and version.
        api_version: String = ["api_version"],
        /// Its kind.
        kind: String = ["kind"],
        /// Its name.
        name: String = ["name"],
        /// Its uid.
        uid: String = ["uid"],
    }
}

impl BuildPlan for ShipwrightBuildPlan {
    const KEY: &'static str = "shipwright_build_plan";

    fn check(build: &Build<Self>, object: &Object<'_>, r: &mut Reader<'_>) {
        if build.plan.output.is_some() && build.dst_registry.is_some() && r.is_job_file() {
            let why = "is given beside shipwright_build_plan.output; keep the one where the image goes";
            object.report(r, "dst_registry", Defect::Contradiction(why));
        }
    }
}
