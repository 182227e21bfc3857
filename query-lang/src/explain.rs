//! Plans as text: a tree with one stage per line, in the order in which the stages run. EXPLAIN prints this and nothing else.

use std::fmt::{self, Display, Formatter};

use crate::ast::{Action, Column, Condition, Cut, Flip, Freshness, Origin, Role, Scope};
use crate::names::Source;
use crate::plan::{CleanPlan, CleanRule, Plan, RecognizePlan, SearchPlan, TrainPlan, TrunkPlan, VotesFrom};
use crate::print::{lag, number, quoted};
use crate::recognition::RecognizeRequest;
use crate::request::{Diffusion, Expand, Exploration, Fusion, Order, Reciprocal, Rerank, SuperGlobal};

/// Number of values of a literal descriptor that are shown.
const VECTOR_VALUES_SHOWN: usize = 3;

/// A tree of lines, one stage per line, without a newline at the end.
impl Display for Plan {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (position, (depth, stage, text)) in lines(self, 0).into_iter().enumerate() {
            let newline = if position == 0 { "" } else { "\n" };
            let indent = depth * 2;
            write!(out, "{newline}{:indent$}", "")?;
            // The last column is not padded, so no line ends with blanks.
            if text.is_empty() { out.write_str(stage)? } else { write!(out, "{stage:8}  {text}")? }
        }
        Ok(())
    }
}

/// The source of a descriptor in words. Arguments are counted from 1, named ones after the positional ones.
impl Display for Source {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "photo {}", quoted(path)),
            Self::Key(key) => write!(out, "stored image {}", quoted(key)),
            Self::Argument(position) => write!(out, "bound parameter {}", position.saturating_add(1)),
            Self::Vector(values) => {
                let shown: Vec<String> = values.iter().take(VECTOR_VALUES_SHOWN).copied().map(number).collect();
                let more = if values.len() > VECTOR_VALUES_SHOWN { ", .." } else { "" };
                write!(out, "vector of {} values [{}{more}]", values.len(), shown.join(", "))
            }
            Self::Queries(path) => write!(out, "all queries of {}", quoted(path)),
        }
    }
}

/// Which photos are read. The paths are the database's; they may have come from elsewhere.
const READ: &str = "the file that each was ingested from, if it has not changed; otherwise the database's copy";

type Line = (usize, &'static str, String);

fn lines(plan: &Plan, depth: usize) -> Vec<Line> {
    let one = |stage: &'static str, text: String| vec![(depth, stage, text)];
    let show = |text: &str| one("show", text.to_owned());
    match plan {
        Plan::Search(search) => under(depth, "search", search_stages(search)),
        Plan::Predict { source, k, freshness } => under(depth, "predict", predict_stages(source, *k, *freshness)),
        Plan::Recognize(recognize) => under(depth, "recognize", recognize_stages(recognize)),
        Plan::Put { key, source, label, overwrite } => {
            under(depth, "put", put_stages(key, source, label.as_deref(), *overwrite))
        }
        Plan::Train(train) => under(depth, "train", train_stages(train)),
        Plan::Clean(clean) => under(depth, "clean", clean_stages(clean)),
        Plan::Delete { key } => one("delete", quoted(key)),
        Plan::Label { key, label } => {
            one("label", format!("{} becomes a train image of {}", quoted(key), quoted(label)))
        }
        Plan::Unlabel { key } => one("unlabel", format!("{} becomes an index image", quoted(key))),
        Plan::ShowStatus => show("the state of the database"),
        Plan::ShowLabels => show("the labels with their numbers of train images"),
        Plan::ShowSegments => show("the segments"),
        Plan::ShowStale => show("the deferred writes"),
        Plan::ShowMarked => show("the train images that a cleaning marked"),
        Plan::ShowCleans => show("the cleanings and their changes"),
        Plan::ShowClean { number } => {
            show(&format!("the effect of cleaning {number} on each image, and whether it still holds"))
        }
        Plan::ShowSuspects { limit } => show(&format!("{}; nothing is changed", suspects(*limit))),
        Plan::ShowModels => show("the models, and which one is active"),
        Plan::Flush => one("flush", "write the rows of the tail into segments".to_owned()),
        Plan::Compact { neighbours } => {
            let graph = if *neighbours { "; then compute the neighbour graph and save it" } else { "" };
            one("compact", format!("merge segments, and drop their dead rows{graph}"))
        }
        Plan::Check { deep } => {
            let rows = if *deep { "; every row of every segment (DEEP)" } else { "" };
            one("check", format!("the whole database for damage{rows}"))
        }
        Plan::Backup { folder } => one("backup", format!("copy the database to {}", quoted(folder))),
        Plan::BackupVerify { folder } => one("verify", format!("the backup in {}", quoted(folder))),
        Plan::BackupRestore { from, to } => {
            one("restore", format!("copy the backup in {} to {}", quoted(from), quoted(to)))
        }
        Plan::UndoClean => one("undo", "the last cleaning".to_owned()),
        Plan::UndoLabel => one("undo", "the last change of labels by a statement, a program or a list".to_owned()),
        Plan::Reembed { model } => {
            let model = model.as_ref().map_or_else(|| "the active model".to_owned(), |path| quoted(path));
            let what = format!("all photos with {model}; the descriptors get a new model number");
            vec![(depth, "reembed", what), (depth + 1, "read", READ.to_owned())]
        }
        Plan::UseModel { number } => one("use", format!("model {number}")),
        Plan::DropModel { number, force } => {
            let unless = if *force { " (FORCE)" } else { " unless another model was trained on them" };
            one("drop", format!("model {number} and its descriptors{unless}"))
        }
        Plan::Explain { analyze: true, plan } => {
            let what = "the plan; then run it, even if it writes, and report counts";
            one("explain", what.to_owned()).into_iter().chain(lines(plan, depth + 1)).collect()
        }
        Plan::Explain { analyze: false, plan } => {
            one("explain", "the plan; nothing runs".to_owned()).into_iter().chain(lines(plan, depth + 1)).collect()
        }
    }
}

/// The stages of a statement, below its name.
fn under(depth: usize, name: &'static str, stages: Vec<(&'static str, String)>) -> Vec<Line> {
    let stages = stages.into_iter().map(|(stage, text)| (depth + 1, stage, text));
    std::iter::once((depth, name, String::new())).chain(stages).collect()
}

fn predict_stages(source: &Source, k: usize, freshness: Freshness) -> Vec<(&'static str, String)> {
    let mut stages: Vec<_> = wait(freshness).into_iter().collect();
    stages.extend([
        ("query", source.to_string()),
        ("vote", format!("{}, exactly", voters(k))),
        ("return", "instance, score and the voters".to_owned()),
    ]);
    stages
}

fn recognize_stages(recognize: &RecognizePlan) -> Vec<(&'static str, String)> {
    let RecognizePlan { source, request, verify, freshness, into } = recognize;
    let RecognizeRequest { n, least, distractors } = request;
    let mut stages: Vec<_> = wait(*freshness).into_iter().collect();
    stages.extend([("query", source.to_string()), ("near", format!("the {n} nearest train images (n={n}), exactly"))]);
    if *verify {
        stages.push(("read", format!("photos without local features: {READ}")));
        stages.push(("verify", "the inliers of the query with each of them (VERIFY)".to_owned()));
    }
    let inliers = if *verify { ", and min(70, inliers) / 70" } else { "" };
    stages.push(("elect", format!("the label with the largest sum of 2 cos - 1{inliers}")));
    if let Some(most) = distractors {
        stages.push(("sink", format!("labels that are elected for more than {most} queries (DISTRACTORS)")));
    }
    let least = least.map_or_else(
        || "the threshold that separates right labels from wrong ones best among held-out train images".to_owned(),
        |least| format!("{} (MIN SCORE)", number(least)),
    );
    stages.push(("reject", format!("labels with a score below {least}: nothing known")));
    stages.push(("return", "label, score and the train images".to_owned()));
    stages.extend(into.as_ref().map(|path| ("into", report(path))));
    stages
}

fn put_stages(key: &str, source: &Source, label: Option<&str>, overwrite: bool) -> Vec<(&'static str, String)> {
    let role = match label {
        Some(label) => format!("{} image with label {}", Role::Train, quoted(label)),
        None => format!("{} image", Role::Index),
    };
    let over = if overwrite {
        "any photo or label under the key (OVERWRITE)"
    } else {
        "nothing: another photo or label under the key is an error"
    };
    vec![("image", source.to_string()), ("over", over.to_owned()), ("store", format!("{} as {role}", quoted(key)))]
}

fn search_stages(search: &SearchPlan) -> Vec<(&'static str, String)> {
    let mut stages: Vec<_> = wait(search.freshness).into_iter().collect();
    stages.push(("query", search.source.to_string()));
    if !search.request.filter.is_empty() {
        let conditions: Vec<String> = search.request.filter.iter().map(Condition::to_string).collect();
        stages.push(("filter", format!("{}; also for inserted rows", conditions.join(" AND "))));
    }
    let scope = match search.request.scope {
        Scope::Index => "index images",
        Scope::Train => "train images",
        Scope::All => "index and train images",
    };
    let parts = match search.segments {
        0 => String::new(),
        1 => " over 1 segment and the tail".to_owned(),
        segments => format!(" over {segments} segments and the tail"),
    };
    stages.push(match search.request.ef {
        None => ("scan", format!("{scope}{parts}, exact ({})", search.scan.unwrap_or("the request sets no breadth"))),
        Some(ef) => ("graph", format!("{scope}{parts}, ef {ef}")),
    });
    // A photo or a literal is not stored: there is no self to exclude.
    if search.including_self {
        stages.push(("self", "a stored query may be in its answer and vote for itself (INCLUDING SELF)".to_owned()));
    } else if !matches!(search.source, Source::File(_) | Source::Vector(_)) {
        stages.push(("self", "a stored query is not in its answer and does not vote for itself".to_owned()));
    }
    if let Some(Expand { images, alpha, .. }) = search.request.expand {
        let others = images.saturating_sub(1);
        let weights = match alpha {
            0.0 => "each with the same weight".to_owned(),
            alpha => format!("each with its similarity to the power of {}", number(alpha)),
        };
        stages.push(("expand", format!("the query by its {others} nearest images, {weights}; then search again")));
    }
    if let Some(Expand { images, alpha, .. }) = search.request.augment {
        let (others, alpha) = (images.saturating_sub(1), number(alpha));
        let weights = format!("each with its similarity to the power of {alpha}");
        stages.push(("augment", format!("each index image by its {others} nearest ones, {weights}")));
    }
    stages.extend(order_stages(search.request.order, search.request.depth));
    if let Some(verified) = search.request.verify {
        stages.push(("read", format!("photos without local features: {READ}")));
        stages.push(("verify", format!("the first {verified}, by their inliers with the query (VERIFY)")));
    }
    if let (Some(rerank), Some(votes)) = (&search.request.rerank, search.votes) {
        stages.extend(rerank_stages(rerank, votes));
    }
    if let Some(least) = search.request.least_similarity {
        stages.push(("least", format!("rows with a similarity of {} or more", number(least))));
    }
    if let Some(near) = search.request.collapse {
        let near = number(near);
        stages.push(("collapse", format!("rows with a similarity of {near} or more to one before them: its copies")));
    }
    stages.push(("limit", format!("{} rows", search.request.limit)));
    let columns: Vec<&str> = search.columns.iter().copied().map(Column::name).collect();
    stages.push(("return", columns.join(", ")));
    if let Some(path) = &search.into {
        stages.push(("into", report(path)));
    }
    stages
}

/// What orders the images that were found.
fn order_stages(order: Option<Order>, depth: usize) -> Vec<(&'static str, String)> {
    let mut stages = Vec::new();
    match order {
        None => stages.push(("top", format!("K {depth}: the most similar"))),
        Some(Order::Diffusion(Diffusion { degree, cut, transductive: true, .. })) => {
            let over = cut.map_or("all".to_owned(), |cut| format!("its {cut} nearest"));
            let graph = format!("the graph of index images and queries, degree {degree}");
            stages.push(("spread", format!("from each query and image over {over}, along mutual edges of {graph}")));
            stages.push(("top", format!("K {depth}: those whose spread is most like the query's")));
        }
        Some(Order::Diffusion(Diffusion { degree, sources, cut, .. })) => {
            let over = cut.map_or("all images".to_owned(), |cut| format!("the {cut} nearest images of each"));
            stages.push((
                "spread",
                format!(
                    "similarities of the {sources} most similar over {over}, along mutual edges of degree {degree}"
                ),
            ));
            stages.push(("top", format!("K {depth}: those that receive most")));
        }
        Some(Order::Exploration(Exploration { degree, threshold, directed, .. })) => {
            let round = threshold.map_or("one image a round".to_owned(), |t| {
                format!("each round all images whose best edge is above {}, and at least one", number(t))
            });
            let edges = if directed { "edges, from an image to its nearest ones only" } else { "edges" };
            let graph = format!("the neighbour graph of degree {degree}");
            stages.push(("explore", format!("{graph} along its best {edges}: {round}")));
            stages.push(("top", format!("K {depth}: the first that are reached")));
        }
        Some(Order::Fusion(Fusion { labels, .. })) => {
            let labels = labels.map_or("chosen on the train images".to_owned(), number);
            stages.push((
                "fuse",
                format!("nearness by reciprocal neighbourhoods with the evidence of labels, whose weight is {labels}"),
            ));
            stages.push(("top", format!("K {depth}: the best by both")));
        }
        Some(Order::Reciprocal(Reciprocal { k1, k2, lambda, transductive, .. })) => {
            let lambda = number(lambda);
            let how = format!("neighbourhoods of k1 {k1}, each the mean of {k2}; the plain distance weighs {lambda}");
            let among = if transductive { ", among index images and queries" } else { "" };
            stages.push(("compare", format!("reciprocal {how}{among}")));
            stages.push(("top", format!("K {depth}: the nearest by these")));
        }
        Some(Order::SuperGlobal(SuperGlobal { first, images, beta, .. })) => {
            let found = depth.max(first);
            stages.push(("top", format!("the {found} most similar")));
            let others = images.saturating_sub(1);
            stages.push((
                "order",
                format!(
                    "the first {first} by descriptors refined with {others} others each, beta {}; K {depth}",
                    number(beta)
                ),
            ));
        }
    }
    stages
}

/// What the statement waits for before anything else runs.
fn wait(freshness: Freshness) -> Option<(&'static str, String)> {
    let text = match freshness {
        Freshness::AsIs => return None,
        Freshness::Fresh => "until predictions include the last write".to_owned(),
        Freshness::Since(sequence) => format!("until predictions include sequence {sequence}"),
        Freshness::Within(most) => format!("until predictions lag at most {}", lag(most)),
    };
    Some(("wait", format!("{text} ({freshness})")))
}

fn rerank_stages(rerank: &Rerank, votes: VotesFrom) -> Vec<(&'static str, String)> {
    let votes = match votes {
        VotesFrom::ExactSearch if rerank.augment.is_some() => "computed by an exact search of augmented train images",
        VotesFrom::Stored => "the stored predictions (k is the database's)",
        VotesFrom::KeptLists => "computed from the stored lists (k is not the database's)",
        VotesFrom::ExactSearch => "computed by an exact search (k exceeds the stored lists)",
    };
    let mut stages = Vec::new();
    if let Some(Expand { images, alpha, .. }) = rerank.augment {
        let (others, alpha) = (images.saturating_sub(1), number(alpha));
        let how = format!("by those of its label among its {others} nearest");
        let weights = format!("each with its similarity to the power of {alpha} (AUGMENT TRAIN)");
        stages.push(("augment", format!("each train image without a mark {how}, {weights}")));
    }
    stages.push(("vote", format!("query: {}; index images: {votes}", voters(rerank.k))));
    if rerank.sort {
        stages.push(("sort", "images of the query's instance first".to_owned()));
    }
    if let Some(tau) = rerank.insert {
        let gate = format!("unless score(query) + score(image) < tau {}", number(tau));
        stages.push(("insert", format!("its other images after them, {gate}")));
    }
    stages
}

fn train_stages(train: &TrainPlan) -> Vec<(&'static str, String)> {
    let begin = match &train.from {
        None => "the network of the active model".to_owned(),
        Some(Origin::File(path)) => quoted(path),
        Some(Origin::Model(number)) => format!("the network of model {number}"),
    };
    let held_out = if train.validation > 0.0 {
        format!("a share of {0} of the train images (validation={0})", number(train.validation))
    } else {
        "nothing (validation=0)".to_owned()
    };
    let drawn = if train.balance { "labels equally often (BALANCE)" } else { "images equally often" };
    let mut loss = train.loss.to_string();
    for (name, value) in [("margin", train.margin), ("scale", train.scale)] {
        if let Some(value) = value {
            loss.push_str(&format!(" {name}={}", number(value)));
        }
    }
    let TrainPlan { dimension, epochs, batch, seed, .. } = train;
    let flip = match train.flip {
        Flip::UnlessWorse if train.validation == 0.0 => "to the new model: no images are held out to compare it",
        Flip::UnlessWorse => "to the new model, if it is better on the images held out",
        Flip::Always => "to the new model, even if it is not better on the images held out (FORCE)",
        Flip::Never => "never: the active model stays (DRY RUN)",
    };
    let mut stages = vec![("begin", format!("with {begin}")), ("hold out", held_out)];
    if train.loss.has_steps() {
        stages.push(("draw", drawn.to_owned()));
        if let Some(TrunkPlan { augment, scaleup, gem }) = &train.trunk {
            stages.push(("see", format!("photos of one shape at a time, views of each (augment={augment}): {READ}")));
            stages.push(("train", format!("the whole network (TRUNK), exponent of the mean {gem} (gem={gem})")));
            stages.push((
                "finish",
                format!("last epochs with larger photos and frozen batch normalisation: {scaleup} (scaleup={scaleup})"),
            ));
        }
        stages.push(("loss", format!("{loss}, on descriptors of {dimension} dimensions (dim={dimension})")));
        stages.push(("run", format!("epochs={epochs} batch={batch} rate={} seed={seed}", number(train.rate))));
    } else {
        stages.push(("solve", format!("discriminants of the labels, in closed form (loss={loss} seed={seed})")));
        stages.push(("shorten", format!("to {dimension} dimensions (dim={dimension})")));
    }
    stages.push(("flip", flip.to_owned()));
    stages
}

fn clean_stages(clean: &CleanPlan) -> Vec<(&'static str, String)> {
    let CleanPlan { nn, neighbours, inliers, freq, .. } = clean;
    let found = match clean.rule {
        CleanRule::Paper => {
            "images that have fewer, and the last image of a label that is left with one (RULE paper)".to_owned()
        }
        CleanRule::Suspects(Cut::Top(images)) => format!("{} (RULE suspects top={images})", suspects(images)),
        CleanRule::Suspects(Cut::Evidence(least)) => {
            let least = number(least);
            format!(
                "train images with evidence of at least {least} against their label (RULE suspects evidence={least})"
            )
        }
    };
    let action = match clean.action {
        Action::Unlabel => ("unlabel", "the images found (UNLABEL)"),
        Action::Relabel => ("relabel", "the images found, as proposed; the last image of a label keeps it (RELABEL)"),
        Action::RelabelEmpty => {
            ("relabel", "the images found, as proposed, even the last image of a label (RELABEL EMPTY)")
        }
        Action::KeepVoters => {
            ("mark", "the images found that have no mark; they still vote, but training skips them (KEEP VOTERS)")
        }
    };
    let same = format!("same label among the {nn} nearest, at most {neighbours} (nn={nn} neighbours={neighbours})");
    let thumbnails = if clean.thumbnails { ", also thumbnails (THUMBNAILS)" } else { "" };
    let mut stages = match clean.rule {
        CleanRule::Paper => vec![
            ("read", format!("photos without local features: {READ}{thumbnails}")),
            ("pair", format!("each train image with those of the {same}")),
            ("verify", format!("pairs with at least {inliers} inliers (inliers={inliers})")),
            ("count", format!("the verified pairs of each image: it needs {freq} (freq={freq})")),
        ],
        CleanRule::Suspects(_) => {
            vec![("weigh", "the labels of each train image's nearest ones; no local features".to_owned())]
        }
    };
    stages.push(("find", found));
    stages.push((action.0, action.1.to_owned()));
    if clean.dry_run {
        stages.push(("dry run", "report all of this and change nothing (DRY RUN)".to_owned()));
    }
    stages.extend(clean.into.as_ref().map(|path| ("into", report(path))));
    stages
}

fn report(path: &str) -> String {
    format!("report {}, with the photos of the database", quoted(path))
}

fn suspects(images: usize) -> String {
    format!("the {images} most suspect train images")
}

fn voters(k: usize) -> String {
    format!("the {k} nearest train images (k={k})")
}
