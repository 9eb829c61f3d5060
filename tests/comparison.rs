//! The parts of `benches/compare` that only calculate: what other programs say
//! is read right, and goals are judged by what was measured.
//!
//! Its figures are nobody's test.

#[path = "../benches/comparison/figures.rs"]
mod figures;
#[path = "../benches/comparison/goal.rs"]
mod goal;
#[path = "../benches/comparison/h2load.rs"]
mod h2load;
#[path = "../benches/comparison/statistics.rs"]
mod statistics;
#[path = "../benches/comparison/transport.rs"]
mod transport;
#[path = "../benches/comparison/wrk.rs"]
mod wrk;

mod spreads {
    use crate::statistics::Spread;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        let spread = |values: &[f64]| Spread::of(values).map(|spread| (spread.median, spread.least, spread.most));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[5.0]), Some((5.0, 5.0, 5.0)));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some((2.0, 1.0, 9.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 100.0]), Some((3.0, 1.0, 100.0)));
    }
}

mod wrk_is_read {
    use crate::wrk::read;

    const SAID: &str = "\
Running 5s test @ http://127.0.0.1:5000/v2/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   529.10us    1.01ms  24.97ms   97.04%
    Req/Sec    38.21k     4.12k   45.15k    80.00%
  Latency Distribution
     50%  377.00us
     75%  476.00us
     90%  662.00us
     99%    4.52ms
  190131 requests in 5.01s, 221.39MB read
Requests/sec:  37963.09
Transfer/sec:     44.20MB
";

    #[test]
    fn rates_and_latencies_are_read() {
        let figures = read(SAID).unwrap();
        let figure = |name: &str| figures[name];
        assert_eq!(figure("perSecond"), 37_963.09);
        assert_eq!(figure("bytesPerSecond"), 44.2 * 1024.0 * 1024.0);
        assert_eq!((figure("p50"), figure("p99")), (0.377, 4.52));
    }

    #[test]
    fn a_run_with_bad_answers_is_no_measurement() {
        let refused = SAID.replace("Requests/sec", "  Non-2xx or 3xx responses: 7\nRequests/sec");
        assert_eq!(read(&refused).unwrap_err(), "7 answers were no success");
        let errors =
            SAID.replace("Requests/sec", "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec");
        assert!(read(&errors).unwrap_err().contains("read 3"));
        assert!(read("unable to connect").is_err());
    }
}

mod h2load_is_read {
    use crate::h2load::read;

    const SAID: &str = "\
finished in 2.00s, 31250.50 req/s, 4.85MB/s
requests: 62501 total, 62517 started, 62501 done, 62501 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 62517 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 9.70MB (10170000) total, 1.01MB (1060000) headers (space savings 95.00%), 8.01MB (8400000) data
";

    #[test]
    fn the_rate_is_read_and_bad_answers_are_no_measurement() {
        assert_eq!(read(SAID).unwrap()["perSecond"], 31_250.5);
        assert!(read(&SAID.replace("62517 2xx, 0 3xx, 0 4xx", "62517 2xx, 0 3xx, 9 4xx")).is_err());
        assert!(read(&SAID.replace("62517 2xx", "0 2xx")).is_err());
        assert!(read("").is_err());
    }
}

mod goals {
    use crate::goal::{Case, Goal, Unit, Verdict};
    use crate::transport::Transport;

    fn case(name: &str) -> Case {
        Case { name: name.to_owned(), transport: Transport::Plain }
    }

    #[test]
    fn goals_are_judged_by_what_was_measured() {
        use Verdict::{Met, Missed, Unknown};
        let other = |asked: &Case| (*asked == case("one")).then_some(100.0);
        for (goal, unit, ours, verdict) in [
            (Goal::AtLeast(40.0), Unit::PerSecond, 40.0, Met),
            (Goal::AtLeast(40.0), Unit::PerSecond, 39.9, Missed),
            (Goal::AtMost(5.0), Unit::Millis, 5.1, Missed),
            (Goal::TimesBestPeer(2.5), Unit::PerSecond, 25.0, Met),
            (Goal::TimesBestPeer(2.5), Unit::PerSecond, 24.0, Missed),
            // A time is twice as good when it is half as long.
            (Goal::TimesBestPeer(2.0), Unit::Millis, 5.0, Met),
            (Goal::TimesBestPeer(2.0), Unit::Millis, 6.0, Missed),
            (Goal::OfLimit(0.6), Unit::PerSecond, 100.0, Unknown),
            (Goal::Of(case("one"), 0.8), Unit::PerSecond, 80.0, Met),
            (Goal::Of(case("one"), 0.8), Unit::PerSecond, 79.0, Missed),
            (Goal::Of(case("one"), 1.2), Unit::Millis, 121.0, Missed),
            (Goal::Of(case("two"), 0.8), Unit::PerSecond, 80.0, Unknown),
        ] {
            assert!(goal.shown(unit).starts_with(['≥', '≤']) && !verdict.shown().is_empty());
            assert_eq!(goal.judge(unit, ours, Some(10.0), None, other), verdict, "{goal:?} {ours}");
        }
    }

    #[test]
    fn transports_have_names_of_their_own() {
        let names = [Transport::Plain, Transport::Tls, Transport::H2].map(Transport::name);
        assert_eq!(names, ["plain", "tls", "h2"]);
    }

    #[test]
    fn figures_are_shown_as_people_read_them() {
        assert_eq!(Unit::PerSecond.shown(1_234_567.8), "1,234,568/s");
        assert_eq!(Unit::PerSecond.shown(3.217), "3.22/s");
        assert_eq!(Unit::BytesPerSecond.shown(1_450_000_000.0), "1.45 GB/s");
        assert_eq!(Unit::BytesPerSecond.shown(178_000_000.0), "178 MB/s");
        assert_eq!(Unit::Seconds.shown(0.0123), "12.3 ms");
        assert_eq!((Unit::Millis.shown(5.0), Unit::Count.shown(18.0)), ("5.00 ms".to_owned(), "18.0".to_owned()));
        assert_eq!(Unit::Bytes.shown(20.0 * 1024.0 * 1024.0), "20.0 MiB");
    }
}
