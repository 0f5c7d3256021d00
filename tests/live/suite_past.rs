//! What a target forgets of its past, and what it never does (rule A5): a part of the suite.

use lockstep::domain::live::{Fence, LiveState};
use lockstep::domain::rollout::{Answer, Kept, Reached, Retention, Rollout, Save, Stored};
use lockstep::port::{EdgeKind, Target};

use super::{Led, Place, desired, generation, is, only, request};

async fn generations<T: Target>(target: &T) -> Vec<u32> {
    target.history(1_000).await.unwrap().iter().map(|line| line.generation.number()).collect()
}

/// Attempts that leave one key each, and further ones that leave nothing.
async fn with_a_past<P: Place>(place: P, leave: u32, further: u32) -> Led<P> {
    let led = Led::start(place).await;
    for at in 1..=leave {
        led.apply(&desired((1..=at).map(|n| (format!("config/{n}"), n.to_string()))), at).await;
    }
    for at in leave + 1..=leave + further {
        led.apply(&desired((1..=leave).map(|n| (format!("config/{n}"), n.to_string()))), at).await;
    }
    led
}

pub async fn old_history_goes_unless_a_live_key_or_the_record_names_it(place: impl Place) {
    let led = with_a_past(place, 2, 6).await;
    // Generations 1 and 2 are live; the record reached 8, and says that 4 is last good.
    let Stored { mut record, fence } = led.stored().await;
    let goal = record.goal.clone().unwrap();
    record.last_good = Some(Reached { generation: generation(4), ..goal });
    let fence = led.target.save(&led.lease, fence, &only(record.clone())).await.unwrap();
    let kept = Kept { lines: 3, answers: 9 };
    let retention = Retention::new(kept, &record, &led.live().await);
    led.target.forget(&led.lease, fence, &retention).await.unwrap();
    assert_eq!(generations(&led.target).await, [8, 7, 6, 4, 2, 1]);
    // Once more changes nothing, and so does the default.
    led.target.forget(&led.lease, fence, &retention).await.unwrap();
    let retention = Retention::new(Kept::default(), &record, &led.live().await);
    led.target.forget(&led.lease, fence, &retention).await.unwrap();
    assert_eq!(generations(&led.target).await, [8, 7, 6, 4, 2, 1]);
    assert_eq!(led.stored().await, Stored { record, fence }, "forgetting moved the record");
    assert_eq!(led.names().await, ["config/1", "config/2"]);
    // A line goes with the last key that names it.
    led.apply(&desired([("config/2", "2")]), 9).await;
    let Stored { record, fence } = led.stored().await;
    let retention = Retention::new(kept, &record, &led.live().await);
    led.target.forget(&led.lease, fence, &retention).await.unwrap();
    assert_eq!(generations(&led.place.target()).await, [9, 8, 7, 4, 2]);
}

pub async fn the_newest_answers_stay_and_no_open_request_goes(place: impl Place) {
    let led = Led::start(place).await;
    let cli = led.place.target();
    cli.submit(&request(99, 0)).await.unwrap();
    let Stored { record, mut fence } = led.stored().await;
    for id in 1..=6 {
        let asked = request(id, 1);
        cli.submit(&asked).await.unwrap();
        let answer = Answer { id: asked.id, at: asked.at, accepted: true, changed: true, text: "done".into() };
        let save = Save { answers: vec![answer], ..only(Rollout { reason: format!("answer {id}"), ..record.clone() }) };
        fence = led.target.save(&led.lease, fence, &save).await.unwrap();
    }
    let retention = Retention::new(Kept { lines: 9, answers: 2 }, &record, &LiveState::default());
    led.target.forget(&led.lease, fence, &retention).await.unwrap();
    let mut answered = Vec::new();
    for id in 1..=6 {
        answered.extend(cli.answer(&request(id, 1).id).await.unwrap().map(|_| id));
    }
    assert_eq!(answered, [5, 6]);
    assert_eq!(cli.requests().await.unwrap(), [request(99, 0)]);
}

pub async fn only_the_leader_forgets(place: impl Place) {
    let led = with_a_past(place, 0, 4).await;
    let Stored { record, fence } = led.stored().await;
    let retention = Retention::new(Kept { lines: 1, answers: 1 }, &record, &led.live().await);
    is(led.target.forget(&led.lease, Fence(fence.0 + 1_000), &retention).await, EdgeKind::Conflict);
    led.place.lose_lease().await;
    is(led.target.forget(&led.lease, fence, &retention).await, EdgeKind::Conflict);
    assert_eq!(generations(&led.target).await, [4, 3, 2, 1]);
}
