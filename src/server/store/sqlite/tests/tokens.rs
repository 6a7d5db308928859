//! Tokens and runners.

use super::*;

#[tokio::test]
async fn a_token_works_until_it_expires_or_is_taken_back_and_across_restarts() {
    let bench = Bench::new().await;
    let new = |name: &str, expires_at| NewToken { kind: TokenKind::Runner, name: name.into(), runner: Some(runner("r1")), expires_at };
    let (kept, secret) = bench.store.create_token(new("kept", None), bench.now).await.unwrap();
    let (short, short_secret) = bench.store.create_token(new("short", Some(bench.at(10))), bench.now).await.unwrap();
    let auth = async |bench: &Bench, secret: &SecretString, at| {
        bench.store.authenticate(secret, bench.at(at)).await.unwrap().map(|token| token.id)
    };
    assert_eq!(auth(&bench, &secret, 1).await, Some(kept.id.clone()));
    assert_eq!(auth(&bench, &short_secret, 9).await, Some(short.id.clone()));
    assert_eq!(auth(&bench, &short_secret, 10).await, None);
    assert_eq!(auth(&bench, &SecretString::from("br_guess"), 1).await, None);

    let bench = bench.reopen(20).await;
    assert_eq!(auth(&bench, &secret, 30).await, Some(kept.id.clone()));
    let listed = bench.store.tokens().await.unwrap();
    assert_eq!(listed.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["kept", "short"]);
    assert_eq!(listed[0].last_used_at, Some(bench.at(30)));
    assert_eq!(listed[1].last_used_at, Some(bench.at(9)), "noted on disk");
    assert!(bench.store.revoke_token(&kept.id).await.unwrap());
    assert!(!bench.store.revoke_token(&kept.id).await.unwrap());
    assert_eq!(auth(&bench, &secret, 31).await, None);
    let bench = bench.reopen(40).await;
    assert_eq!(auth(&bench, &secret, 41).await, None);
}

#[tokio::test]
async fn runners_become_known_by_showing_up() {
    let bench = Bench::new().await;
    for name in ["b", "a", "b"] {
        bench.store.register_runner(&runner(name), bench.now).await.unwrap();
    }
    let names: Vec<_> = bench.store.runners().await.unwrap().into_iter().map(|runner| runner.id.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(bench.store.runner(&runner("a")).await.unwrap().unwrap().last_heartbeat, None);
    assert_eq!(bench.store.runner(&runner("c")).await.unwrap(), None);
}
