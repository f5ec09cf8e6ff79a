//! What `nostale report` writes, opened in a browser and clicked through. Where there is no browser the tests are listed as ignored,
//! with the reason, and counted.

mod devtools;
mod samples;

use devtools::Browser;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// Nothing is judged by its time; this only turns a hang into a failure.
const BOUND: Duration = Duration::from_secs(30);
const NOSTALE: &str = env!("CARGO_BIN_EXE_nostale");

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(message().into()) }
}

fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(what: &str, found: T, expected: U) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, and not {expected:?}").into()) }
}

/// Waits: what the page is told from outside reaches it with its next frame.
fn until(otherwise: &str, mut holds: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let begin = Instant::now();
    while !holds()? {
        ensure(begin.elapsed() < BOUND, || format!("after {BOUND:?}: {otherwise}"))?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A directory of results, and the page about it in a browser.
struct Opened {
    browser: Browser,
    _place: tempfile::TempDir,
}

/// Makes a page of these documents, and opens it.
fn open(documents: &[(&str, &dyn Fn() -> Value)]) -> Result<Opened, Failed> {
    let place = tempfile::tempdir()?;
    for (name, document) in documents {
        let file = place.path().join(name);
        fs::create_dir_all(file.parent().ok_or("a name")?)?;
        fs::write(file, document().to_string())?;
    }
    let output = Command::new(NOSTALE).arg("report").arg(place.path()).output()?;
    ensure(output.status.success(), || format!("{output:?}"))?;
    let page = PathBuf::from(String::from_utf8(output.stdout)?.trim_end());
    let mut browser = Browser::start(1280, 900)?;
    browser.open(&page)?;
    Ok(Opened { browser, _place: place })
}

fn value(document: impl Serialize) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

fn run() -> Value {
    value(samples::run())
}

fn trace() -> Value {
    value(samples::profile("7.2.0", 5, true))
}

impl Opened {
    /// Whatever was done to it, it did not complain, asked nobody for anything, and ran nothing of what it shows.
    fn in_peace(mut self) -> Result<(), Failed> {
        same("harm", self.browser.value("window.harm ?? null")?, Value::Null)?;
        same(
            "images and scripts that came from names",
            self.browser.value("document.querySelectorAll('img, iframe, main script').length")?,
            0,
        )?;
        let complaints = self.browser.complaints();
        ensure(complaints.is_empty(), || complaints.join("\n"))
    }
}

fn a_run() -> Result<(), Failed> {
    let mut opened = open(&[("run.json", &run)])?;
    let browser = &mut opened.browser;
    same("the verdict", browser.text(".hero h1")?.lines().last(), Some("violation"))?;
    let sentence = browser.text(".sentence")?;
    ensure(sentence.contains("0xffffffffffffffff") && sentence.contains(samples::NASTY), || sentence.clone())?;
    same("lines that replay", browser.seen(".hero .command")?, 2)?;
    // Only the first of many rows are made, until all are wanted.
    let rows = "#result-1-scenarios tbody tr:not(.under)";
    same("rows", browser.seen(rows)?, 100)?;
    browser.click("#result-1-scenarios .more")?;
    same("all rows", browser.seen(rows)?, 240)?;
    browser.click("#result-1-scenarios .filter[data-kind=coherent]")?;
    same("without those that are coherent", browser.seen(rows)?, 3)?;
    browser.click("#result-1-scenarios .filter[data-kind=coherent]")?;
    // By its head, twice: the other way round.
    browser.click("#result-1-scenarios thead th:nth-child(4) button")?;
    ensure(browser.text(rows)?.contains("mremap"), || "not the fastest first".to_owned())?;
    same("the order", browser.value("document.querySelector('#result-1-scenarios th[aria-sort]').ariaSort")?, "descending")?;
    browser.click("#result-1-scenarios input[type=search]")?;
    browser.call("Input.insertText", json!({ "text": "op-12" }))?;
    same("found", browser.seen(rows)?, 10)?;
    // A row opens by the keyboard.
    browser.value("document.querySelector('#result-1-scenarios .opens').focus()")?;
    browser.key("Enter", Some("\r"))?;
    same("opened", browser.seen("#result-1-scenarios .under")?, 1)?;
    let inside = browser.text("#result-1-scenarios .under")?;
    ensure(inside.contains("nostale run --ops op-12"), || inside.clone())?;
    opened.in_peace()
}

fn copying() -> Result<(), Failed> {
    let mut opened = open(&[("run.json", &run)])?;
    opened.browser.click(".hero .command button")?;
    until("it does not say that it was copied", || Ok(opened.browser.text(".hero .command button")? == "Copied"))?;
    opened.in_peace()
}

fn view(browser: &mut Browser) -> Result<f64, Failed> {
    let span = browser.value("(() => { const { from, to } = document.querySelector('.stage').dataset; return to - from; })()")?;
    span.as_f64().ok_or_else(|| "the timeline shows no time".into())
}

fn a_timeline() -> Result<(), Failed> {
    let mut opened = open(&[("trace.json", &trace)])?;
    let browser = &mut opened.browser;
    same("the verdict", browser.text(".hero h1")?.lines().last(), Some("broken"))?;
    same("marks", browser.seen(".timeline .mark")?, 10)?;
    same("lanes", browser.seen(".timeline .lane-name")?, 2)?;
    let whole = view(browser)?;
    browser.click(".zoom button[aria-label='Zoom in']")?;
    let closer = view(browser)?;
    ensure(closer < whole * 0.6, || format!("{closer} of {whole}"))?;
    ensure(browser.seen(".timeline .mark")? < 10, || "all marks are still there".to_owned())?;
    browser.click(".zoom button[aria-label='Show all of it']")?;
    same("all of it", view(browser)?, whole)?;
    // Dragged over a part of it, with the mouse.
    let (x, y) = browser.middle(".stage")?;
    browser.mouse("mousePressed", x - 100.0, y)?;
    browser.mouse("mouseMoved", x, y)?;
    browser.mouse("mouseMoved", x + 100.0, y)?;
    browser.mouse("mouseReleased", x + 100.0, y)?;
    let dragged = view(browser)?;
    ensure(dragged < whole * 0.4, || format!("{dragged} of {whole}"))?;
    // By the keyboard: all of it, nearer, an event.
    browser.value("document.querySelector('.stage').focus()")?;
    browser.key("0", Some("0"))?;
    same("all of it again", view(browser)?, whole)?;
    browser.key("+", Some("+"))?;
    ensure(view(browser)? < whole, || "+ does not zoom".to_owned())?;
    browser.key("ArrowDown", None)?;
    let read = browser.text(".timelines .read-out")?;
    ensure(read.contains("enter: group/enter") && read.contains(samples::NASTY), || read.clone())?;
    browser.key("0", Some("0"))?;
    // The wheel zooms what has the focus.
    let wheel = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -300 });
    browser.call("Input.dispatchMouseEvent", wheel)?;
    ensure(view(browser)? < whole, || "the wheel does not zoom".to_owned())?;
    // Pointed at, a mark says what it is.
    browser.click(".zoom button[aria-label='Show all of it']")?;
    let (x, y) = browser.middle(".mark[data-stage='kvm-flush'] path")?;
    browser.mouse("mouseMoved", x, y)?;
    let tip = browser.text("#tip")?;
    ensure(tip.contains("group/kvm-flush"), || tip.clone())?;
    // The same as a table.
    browser.click(".timelines .choice button[data-value=table]")?;
    same("rows", browser.seen(".timelines tbody tr")?, 10)?;
    same("the drawing", browser.seen(".timeline")?, 0)?;
    opened.in_peace()
}

fn latencies() -> Result<(), Failed> {
    let mut opened = open(&[("trace.json", &trace)])?;
    let browser = &mut opened.browser;
    let before = browser.seen(".latencies .curve")?;
    ensure(before >= 2, || format!("{before} curves"))?;
    browser.click(".series[aria-pressed=true]")?;
    same("one less", browser.seen(".latencies .curve")?, before - 1)?;
    browser.click(".latencies .choice button[data-value=histogram]")?;
    same("areas", browser.seen(".latencies .area")?, before - 1)?;
    browser.click(".latencies .choice button[data-value=cdf]")?;
    browser.value("document.querySelector('.plot-stage').focus()")?;
    browser.key("ArrowRight", None)?;
    let read = browser.text(".latencies .read-out")?;
    ensure(read.starts_with("At most ") && read.contains('%'), || read.clone())?;
    opened.in_peace()
}

fn orders_of_two_kernels() -> Result<(), Failed> {
    let old = || value(samples::profile("6.1.0", 5, false));
    let mut opened = open(&[("6.1/trace.json", &old), ("7.2/trace.json", &trace)])?;
    let browser = &mut opened.browser;
    let heads = browser.text(".orders thead")?;
    ensure(heads.contains("6.1") && heads.contains("7.2"), || heads.clone())?;
    same("orders that are new", browser.seen(".change[data-change=new]")?, 5)?;
    // From an order to its timeline.
    browser.click(".orders tbody tr:nth-child(2) .share button")?;
    let order = browser.text(".timelines .about .chain")?;
    ensure(order.find("flush") < order.find("kvm-flush"), || order.clone())?;
    ensure(browser.seen("#traces-rules .under")? == 1, || "the broken rule is not open".to_owned())?;
    opened.in_peace()
}

fn two_recordings_compared() -> Result<(), Failed> {
    let mut opened = open(&[("compare.json", &|| value(samples::comparison()))])?;
    let browser = &mut opened.browser;
    same("the verdict", browser.text(".hero h1")?.lines().last(), Some("relevant"))?;
    let findings = browser.text("#result-1-relevant")?;
    ensure(findings.contains("mremap") && findings.contains("no-install"), || findings.clone())?;
    // Each operation has an order that A has not, one more has none but mremap, and one that both have.
    let rows = "#result-1-orders tbody tr:not(.under)";
    same("orders", browser.seen(rows)?, 11)?;
    ensure(browser.text(rows)?.contains("relevant"), || "what is relevant is not the first".to_owned())?;
    browser.click("#result-1-orders .filter[data-kind=new]")?;
    browser.click("#result-1-orders .filter[data-kind=fewer]")?;
    same("what is relevant alone", browser.seen(rows)?, 1)?;
    browser.click("#result-1-orders .opens")?;
    let why = browser.text("#result-1-orders .under")?;
    ensure(why.contains("kvm-flush"), || why.clone())?;
    same("times", browser.seen("#result-1-times tbody tr")?, 10)?;
    same("rules", browser.seen("#result-1-rules tbody tr:not(.under)")?, 3)?;
    let sides = browser.text("#result-1-environment")?;
    ensure(sides.contains(samples::NASTY) && sides.contains("6.1.0"), || sides.clone())?;
    opened.in_peace()
}

fn kernels_and_mutants_and_models() -> Result<(), Failed> {
    let matrix = || value(samples::matrix());
    let unknown = || json!({ "pairs": NOSTALE });
    let mut opened = open(&[
        ("matrix/report.json", &matrix),
        ("mutate/report.json", &samples::mutate),
        ("check/report.json", &samples::check),
        ("litmus/report.json", &samples::litmus),
        ("compare.json", &unknown),
    ])?;
    let browser = &mut opened.browser;
    same("results", browser.seen(".cards li")?, 4)?;
    ensure(browser.text(".others")?.contains("compare.json"), || "what is unknown is not listed".to_owned())?;
    browser.click("button.heat[data-tone=broken]")?;
    let panel = browser.text(".panel")?;
    ensure(panel.contains("migrate") && panel.contains("6.12"), || panel.clone())?;
    browser.click(".choice button[data-value=operations_per_second]")?;
    same("numbers in place of verdicts", browser.seen("button.heat .meter")?, 4)?;
    let mutants = "[aria-label='Mutants of 6.1.0-amd64'] > table > tbody > tr:not(.under)";
    same("mutants", browser.seen(mutants)?, 3)?;
    browser.click(".filter[data-kind=killed]")?;
    same("without those that were killed", browser.seen(mutants)?, 2)?;
    browser.click("[aria-label='Cases'] .opens")?;
    same("steps", browser.seen(".steps tbody tr")?, 2)?;
    browser.click("[aria-label='Litmus tests'] .opens")?;
    same("final states", browser.seen("[aria-label='Final states'] tbody tr")?, 1)?;
    opened.in_peace()
}

fn colours() -> Result<(), Failed> {
    let mut opened = open(&[("trace.json", &trace)])?;
    let browser = &mut opened.browser;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let scheme = |browser: &mut Browser, name: &str| {
        browser
            .call("Emulation.setEmulatedMedia", json!({ "features": [{ "name": "prefers-color-scheme", "value": name }] }))
            .map(drop)
    };
    scheme(browser, "light")?;
    let light = browser.value(ground)?;
    scheme(browser, "dark")?;
    until("it is as light in the dark", || Ok(browser.value(ground)? != light))?;
    // Whoever chooses has the last word, and keeps it.
    browser.click(".controls .choice button[data-value=light]")?;
    same("chosen", browser.value(ground)?, light.clone())?;
    browser.value("window.before = true")?;
    browser.call("Page.reload", json!({}))?;
    // Between two documents there is nobody to ask.
    let back = "window.before === undefined && document.querySelector('footer') !== null";
    until("it does not come back", || Ok(browser.value(back).is_ok_and(|back| back == true)))?;
    same("remembered", browser.value(ground)?, light)?;
    browser.click(".controls .choice button[data-value=dark]")?;
    let poor = browser.value(CONTRAST)?;
    same("text without contrast in the dark", poor, json!([]))?;
    browser.click(".controls .choice button[data-value=light]")?;
    let poor = browser.value(CONTRAST)?;
    same("text without contrast in the light", poor, json!([]))?;
    opened.in_peace()
}

/// Text whose contrast to what is behind it is less than 4.5 to 1 (WCAG 2, AA).
const CONTRAST: &str = r"(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const read = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (one) => { for (let at = one; at; at = at.parentElement) { const c = read(getComputedStyle(at).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
  const poor = new Set();
  for (const one of document.querySelectorAll('body *')) {
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || !one.checkVisibility() || one.closest('script, style, noscript, .hidden, .arrow')) continue;
    const style = getComputedStyle(one);
    const a = light(read(one instanceof SVGElement ? style.fill : style.color)), b = light(behind(one));
    if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) poor.add(`${one.tagName}.${one.className.baseVal ?? one.className}: ${one.textContent.slice(0, 20)}`);
  }
  return [...poor];
})()";

fn paper() -> Result<(), Failed> {
    let mut opened = open(&[("run/run.json", &run), ("trace/trace.json", &trace)])?;
    let browser = &mut opened.browser;
    let controls = ".controls, nav, .zoom, .filter[data-kind=coherent], input, select, .command button";
    ensure(browser.seen(controls)? > 0, || "there is nothing to press".to_owned())?;
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }))?;
    until("there are controls on paper", || Ok(browser.seen(controls)? == 0))?;
    let under = "[aria-label='Scenarios'] > table > tbody > tr.under";
    until("not every row is open", || Ok(browser.seen(under)? == 240))?;
    same(
        "rows that are closed",
        browser.value("[...document.querySelectorAll('details')].filter((one) => !one.open).length")?,
        0,
    )?;
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "" }))?;
    let rows = "[aria-label='Scenarios'] > table > tbody > tr:not(.under)";
    until("it does not close again", || Ok(browser.seen(rows)? == 100))?;
    let printed = browser.call("Page.printToPDF", json!({ "printBackground": true }))?;
    let pdf = printed["data"].as_str().unwrap_or_default();
    // "%PDF-" in base64.
    ensure(pdf.starts_with("JVBERi0") && pdf.len() > 20_000, || format!("{} characters of no PDF", pdf.len()))?;
    opened.in_peace()
}

fn nothing_in_it() -> Result<(), Failed> {
    let empty = || value(samples::profile("7.2.0", 0, false));
    let mut opened = open(&[("trace.json", &empty)])?;
    same("the verdict", opened.browser.text(".hero h1")?.lines().last(), Some("vacuous"))?;
    same("parts that say so", opened.browser.seen(".empty")?, 3)?;
    opened.in_peace()
}

fn a_narrow_window() -> Result<(), Failed> {
    let mut opened = open(&[("run/run.json", &run), ("trace/trace.json", &trace)])?;
    opened.browser.size(360, 740)?;
    let wide = opened.browser.value("document.documentElement.scrollWidth")?;
    ensure(wide.as_u64() <= Some(360), || format!("{wide} wide"))?;
    opened.in_peace()
}

fn nothing_is_left() -> Result<(), Failed> {
    let browser = Browser::start(400, 400)?;
    let profile = browser.profile().to_owned();
    ensure(!Browser::left(&profile).is_empty(), || "it is not seen even while it runs".to_owned())?;
    drop(browser);
    until("a process of it is left", || Ok(Browser::left(&profile).is_empty()))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Browsers load all CPUs.
    arguments.test_threads.get_or_insert(1);
    let missing = devtools::program().err();
    let trial = |name: &str, body: fn() -> Result<(), Failed>| {
        let trial = Trial::test(name, body);
        match &missing {
            Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
            None => trial,
        }
    };
    let trials = vec![
        trial("a_run_is_filtered_sorted_searched_and_opened", a_run),
        trial("a_replay_line_is_copied", copying),
        trial("a_timeline_is_zoomed_by_mouse_wheel_and_keyboard", a_timeline),
        trial("latencies_are_overlaid_and_read_out", latencies),
        trial("orders_of_two_kernels_side_by_side", orders_of_two_kernels),
        trial("kernels_mutants_and_models", kernels_and_mutants_and_models),
        trial("colours_follow_the_system_until_somebody_chooses", colours),
        trial("on_paper_everything_is_open_and_nothing_can_be_pressed", paper),
        trial("a_recording_of_nothing", nothing_in_it),
        trial("a_narrow_window_is_wide_enough", a_narrow_window),
        trial("two_recordings_are_compared", two_recordings_compared),
        trial("no_browser_is_left_behind", nothing_is_left),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
