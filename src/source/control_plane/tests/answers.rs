//! Every wrong kind of answer, and what it is taken for.

use std::time::Instant;

use super::*;
use crate::{job::Phase, source::Source as _};

type Answering = fn() -> Reply;

async fn phase(plane: &Plane) -> Result<(), Error> {
    plane.client().phase(&job(), &execution(), Phase::Running).await
}

#[tokio::test]
async fn a_status_means_what_the_table_says() {
    for (status, about_a_job, about_the_runner) in [
        (400, "refused", "refused"),
        (401, "unauthorized", "unauthorized"),
        (403, "unauthorized", "unauthorized"),
        (404, "fenced", "refused"),
        (408, "unavailable", "unavailable"),
        (409, "fenced", "refused"),
        (410, "fenced", "refused"),
        (413, "refused", "refused"),
        (422, "refused", "refused"),
        (425, "unavailable", "unavailable"),
        (429, "unavailable", "unavailable"),
        (500, "unavailable", "unavailable"),
        (503, "unavailable", "unavailable"),
    ] {
        let plane = Plane::saying(move || refusal(status, "no such thing")).await;
        let error = phase(&plane).await.expect_err("refused");
        assert_eq!(kind(&error), about_a_job, "{status}");
        let expected = format!("PATCH /v1/runner-jobs/job1/executions/run1: status {status}: no such thing");
        assert_eq!(error.to_string(), expected);
        let error = plane.client().heartbeat(Duration::from_secs(1)).await.expect_err("refused");
        assert_eq!(kind(&error), about_the_runner, "{status}");
    }
}

#[tokio::test]
async fn a_404_that_is_not_the_planes_own_fences_nothing() {
    for (media_type, text) in [("text/html", "<html>nginx</html>"), ("text/plain", "default backend - 404")] {
        let plane = Plane::saying(move || Reply::Text(404, media_type, text)).await;
        let error = phase(&plane).await.expect_err("not found");
        assert_eq!(kind(&error), "unavailable", "{text}");
        assert!(!error.to_string().contains("<html>"), "{error}");
    }
}

#[tokio::test]
async fn answers_that_never_end_or_make_no_sense_are_worth_another_try() {
    let page = || Reply::Text(200, "text/html", "<!DOCTYPE html><p>Log in");
    let replies: [(Answering, &str); 6] = [
        (|| Reply::Hang, "no complete answer within"),
        (|| Reply::Drip, "no complete answer within"),
        (|| Reply::Cut, "the connection broke"),
        (|| Reply::Text(200, "application/json", "{\"id\": 7"), "cannot be read"),
        (|| Reply::Text(200, "application/json", ""), "cannot be read"),
        (page, "a web page instead of JSON"),
    ];
    for (reply, part) in replies {
        let plane = Plane::saying(reply).await;
        let began = Instant::now();
        let error = plane.client().claim(&job(), "key").await.expect_err("no answer");
        assert_eq!(kind(&error), "unavailable", "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(began.elapsed() < 5 * PATIENCE, "{error}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_plane_that_is_not_there_is_said_with_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let url = format!("http://{address}").parse().expect("a URL");
    let client = Client::new(ClientOptions::new(url, "runner-1", TokenSource::Inline(TOKEN.into()))).expect("a client");
    let error = client.heartbeat(Duration::ZERO).await.expect_err("nobody there");
    assert_eq!(kind(&error), "unavailable");
    assert!(error.to_string().starts_with(&format!("http://{address} cannot be reached: ")), "{error}");
}

#[tokio::test]
async fn a_plane_without_tls_is_said_with_what_to_do() {
    let plane = Plane::saying(|| ok(json!({}))).await;
    let options = ClientOptions { url: plane.url.replace("http:", "https:").parse().expect("a URL"), ..plane.options() };
    let error = Client::new(options).expect("a client").heartbeat(Duration::ZERO).await.expect_err("no TLS");
    assert!(error.to_string().ends_with("it does not speak TLS: write the setting api_url with http://"), "{error}");
}

#[tokio::test]
async fn a_plane_says_when_to_come_back() {
    let plane = Plane::saying(|| Reply::With(429, "retry-after", "7".to_owned())).await;
    let error = plane.client().heartbeat(Duration::ZERO).await.expect_err("too many");
    assert_eq!(error.advice(), crate::retry::Advice::RetryAfter(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_says_where_it_leads() {
    let elsewhere = Plane::saying(|| ok(json!({}))).await;
    let target = format!("{}/login?from=x", elsewhere.url);
    let plane = Plane::saying(move || Reply::With(307, "location", target.clone())).await;
    let error = plane.client().heartbeat(Duration::ZERO).await.expect_err("redirected");
    let expected = format!("redirected to {}/login; set api_url to the address of the API itself", elsewhere.url);
    assert!(kind(&error) == "unavailable" && error.to_string().ends_with(&expected), "{error}");
    assert!(elsewhere.seen().is_empty(), "the token went elsewhere");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "x".repeat(5 << 20));
    let plane = Plane::saying(|| Reply::Text(200, "application/json", &LONG)).await;
    let error = phase(&plane).await.expect_err("too long");
    assert!(kind(&error) == "unavailable" && error.to_string().ends_with("longer than 4194304 bytes"), "{error}");
    let error = plane.client().heartbeat(Duration::ZERO).await.expect_err("too long");
    assert_eq!(kind(&error), "unavailable");
    // Of an error that long the beginning is enough.
    let plane = Plane::saying(|| Reply::Text(500, "text/plain", &LONG)).await;
    let error = phase(&plane).await.expect_err("broken");
    assert!(error.to_string().len() < 500 && error.to_string().ends_with("xxx…"), "{error}");
}

#[tokio::test]
async fn a_token_that_was_renewed_is_used_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "old\n").expect("written");
    let valid = Arc::new(Mutex::new("new"));
    let accepted = Arc::clone(&valid);
    let plane = Plane::start(move |seen| {
        let good = seen.header("authorization") == format!("Bearer {}", accepted.lock().expect("no panic"));
        if good { Reply::Json(201, json!({})) } else { refusal(401, "token expired") }
    })
    .await;
    let client = Client::new(ClientOptions { token: TokenSource::File(file.clone()), ..plane.options() }).expect("a client");

    let error = client.heartbeat(Duration::ZERO).await.expect_err("an old token");
    assert_eq!((kind(&error), plane.seen().len()), ("unauthorized", 1), "without another token there is no second try");
    std::fs::write(&file, "new\n").expect("written");
    client.heartbeat(Duration::ZERO).await.expect("the new token");
    let tokens: Vec<_> = plane.seen().iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer old", "Bearer new"]);
    *valid.lock().expect("no panic") = "newest";
    assert_eq!(kind(&client.heartbeat(Duration::ZERO).await.expect_err("an old token")), "unauthorized");
}

#[tokio::test]
async fn the_token_is_in_no_message_and_no_url() {
    let plane = Plane::start(|seen| refusal(400, &format!("you sent {}", seen.header("authorization")))).await;
    let client = plane.client();
    let error = client.heartbeat(Duration::ZERO).await.expect_err("refused");
    assert!(error.to_string().ends_with("you sent Bearer ***"), "{error}");
    assert!(!format!("{client:?} {error:?} {:?}", plane.lines()).contains(TOKEN));
    assert_eq!(plane.seen()[0].header("x-nuon-client-version"), concat!("runner:", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn heartbeats_and_settings_are_those_of_the_api() {
    let plane = Plane::start(|seen| match seen.line.as_str() {
        "GET /v1/runners/runner-1/settings" => ok(json!({
            "heart_beat_timeout": 7_000_000_000_i64, "enable_logging": false, "metadata": {"org.id": "org1"}, "aws_tags": {"a": "b"},
        })),
        _ => Reply::Json(201, json!({})),
    })
    .await;
    let client = plane.client();
    client.heartbeat(Duration::from_secs(3)).await.expect("taken");
    let beat = &plane.seen()[0];
    assert_eq!(beat.line, "POST /v1/runners/runner-1/heart-beats");
    assert_eq!(beat.json(), json!({"alive_time": 3_000_000_000_i64, "version": env!("CARGO_PKG_VERSION")}));
    let settings = client.settings().await.expect("settings");
    assert_eq!((settings.heartbeat, settings.logs), (Duration::from_secs(7), false));
    assert_eq!(settings.attributes["org.id"], "org1");
}

#[tokio::test]
async fn a_plane_without_settings_gets_the_usual_ones() {
    let plane = Plane::saying(|| Reply::Text(404, "text/plain", "404 page not found")).await;
    let settings = plane.client().settings().await.expect("the usual ones");
    assert_eq!((settings.heartbeat, settings.logs, settings.attributes.len()), (Duration::from_secs(5), true, 0));
}

#[test]
fn options_that_cannot_be_right_are_refused_by_name() {
    let with = |url: &str, runner: &str| {
        let options = ClientOptions::new(url.parse().expect("a URL"), runner, TokenSource::Inline(TOKEN.into()));
        Client::new(options).map(drop).map_err(|error| error.to_string())
    };
    for url in ["http://user:pa55@host", "https://host/?token=x", "ftp://host", "unix:/run/plane"] {
        let error = with(url, "runner-1").expect_err("refused");
        assert!(error.starts_with("api_url is '") && !error.contains("pa55"), "{error}");
    }
    assert!(with("https://host", " ").expect_err("refused").starts_with("runner_id is empty"));
    assert_eq!(with("https://host/prefix/", "runner-1"), Ok(()));
}

#[tokio::test]
async fn a_path_in_front_of_the_api_is_kept() {
    let plane = Plane::saying(|| Reply::Json(201, json!({}))).await;
    let url = format!("{}/prefix/", plane.url).parse().expect("a URL");
    let client = Client::new(ClientOptions { url, runner_id: "a/b".to_owned(), ..plane.options() }).expect("a client");
    client.heartbeat(Duration::ZERO).await.expect("taken");
    assert_eq!(plane.lines(), ["POST /prefix/v1/runners/a%2Fb/heart-beats"]);
}
