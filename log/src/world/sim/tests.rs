#![allow(clippy::unwrap_used)]

use super::*;
use crate::world;

async fn racers(host: Host) -> Vec<u64> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let order = order.clone();
            world::spawn(async move {
                tokio::time::sleep(Duration::from_millis(n % 3)).await;
                world::before_sync().await;
                order.lock().push(n);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut order = order.lock().clone();
    order.push(host.trace());
    order
}

#[test]
fn a_seed_is_a_run() {
    let run = |seed| run(seed, racers).unwrap();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_killed_host_does_nothing_more_and_a_paused_one_later() {
    let counts = run(3, |main| async move {
        let counted = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
        let hosts: Vec<Host> = ["a", "b"].iter().map(|name| main.beside(name)).collect();
        for host in &hosts {
            let counted = counted.clone();
            host.spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    *counted.lock().entry(here().unwrap().name().to_owned()).or_default() += 1;
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(105)).await;
        hosts.first().unwrap().kill();
        hosts.last().unwrap().pause(true);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let stopped = counted.lock().clone();
        hosts.last().unwrap().pause(false);
        tokio::time::sleep(Duration::from_millis(100)).await;
        (stopped, counted.lock().clone())
    });
    let (stopped, after) = counts.unwrap();
    assert_eq!(stopped.values().collect::<Vec<_>>(), [&10, &10]);
    assert_eq!((after.get("a"), after.get("b") > Some(&15)), (Some(&10), true));
}

#[test]
fn a_task_ends_when_it_is_aborted_and_its_host_has_its_own_clock() {
    run(4, |main| async move {
        let host = main.beside("a");
        host.set_clock_ahead(5_000);
        let ahead = host.spawn(async { world::now() }).await.unwrap();
        assert!((4_990..5_010).contains(&(ahead.0 - world::now().0)));
        let task = host.spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(task.await, Err(Ended::Aborted));
        host.kill();
        assert_eq!(host.spawn(async {}).await, Err(Ended::Aborted));
    })
    .unwrap();
}
