"""A whole run: how well each method agrees with people, what removal costs, and which documents to look at."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from adapler_app import link, overview
from adapler_app.components import pick_row
from adapler_app.models import titles
from adapler_app.opened import Opened
from adapler_app.reading import OWN
from adapler_app.session import as_text, choose_source, known_sources, opened
from eraser_eval.curves import precision_recall
from eraser_eval.errors import UserError

# Okabe and Ito's colours, which colour-blind readers can tell apart; shapes and dashes differ too.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F7F", "#B8A800"]


def data_set() -> None:
    """The page."""
    name = choose_source(with_text=False)
    run = opened(name)
    if not run.figures:
        st.title(as_text(run.split.info.title))
        if run.predictions:
            advice = "predictions without a run's figures: see them on 'Compare methods' and 'Runs'"
        else:
            command = f"adapler-explain eval --dataset {run.split.info.name} --split {run.split.name}"
            advice = f"a data set without a run: choose a run in the sidebar, or make one with '{command}'"
        st.info(as_text(f"{name}: {advice}."))
        return
    figures = run.figures
    st.title(as_text(f"{figures['title']}, {figures['split']}"))
    st.caption(
        as_text(
            f"{figures['documents']} documents, {figures['source']}; model {figures['model']} "
            f"({figures['model_checksum']}); attention and gradients explain {figures['explained']}"
        )
    )
    with st.container(horizontal=True, gap="medium"):
        st.metric("Accuracy", f"{figures['classification']['pruned']['accuracy']:.3f}", width="content")
        st.metric("Without removal", f"{figures['classification']['unpruned']['accuracy']:.3f}", width="content")
        st.metric("Fewer FLOPs", f"{figures['efficiency']['flops_speedup']:.2f}×", width="content")
    agreement(run)
    left, right = st.columns(2)
    with left:
        curves(run)
    with right:
        layers(run)
    trade_off(name)
    documents(run)


def agreement(run: Opened) -> None:
    """Bars with intervals."""
    table = overview.bars(run.figures, titles())
    st.subheader("Agreement with people")
    names, own = list(dict.fromkeys(table["method"])), titles()[OWN]
    shade = alt.condition(alt.datum.method == own, alt.value(COLOURS[0]), alt.value("#9aa5ad"))
    for column, (metric, rows) in zip(st.columns(3), table.groupby("metric", sort=False), strict=False):
        column.markdown(f"**{metric}**")
        base = alt.Chart(rows).encode(
            y=alt.Y("method:N", title=None, scale=alt.Scale(domain=names), axis=alt.Axis(labelLimit=140))
        )
        marks = base.mark_bar(height={"band": 0.6}).encode(
            x=alt.X("value:Q", title=None, axis=alt.Axis(tickCount=4)),
            color=shade,
            tooltip=["method", *(alt.Tooltip(name, format=".3f") for name in ("value", "low", "high"))],
        ) + base.mark_rule(strokeWidth=2, color="#D55E00").encode(x="low:Q", x2="high:Q")
        column.altair_chart(marks.properties(height=30 * len(names)), alt=f"{metric} of each method with its interval")
    st.caption("Lines are 95 % intervals over documents.")
    with st.expander("As a table"):
        table["method"] = table["method"].map(as_text)
        st.table(table.set_index(["metric", "method"]).map(lambda value: f"{value:.3f}"))


def _content(run: Opened) -> tuple[str, ...]:
    return run.name, run.split.checksum, run.model_checksum, run.stamp


@st.cache_data(show_spinner="Computing precision and recall …", max_entries=8, hash_funcs={Opened: _content})
def _curves(run: Opened) -> pd.DataFrame:
    table = precision_recall(run.split.examples, {name: list(made.values()) for name, made in run.predictions.items()})
    return table.replace({"method": titles()})


def curves(run: Opened) -> None:
    """Precision over recall."""
    st.subheader("Precision and recall")
    table = _curves(run)
    if table.empty:
        st.info("No document of this run has both words that people marked and words that they did not.")
        return
    scale = alt.Scale(domain=list(dict.fromkeys(table["method"])), range=COLOURS)
    legend = alt.Legend(orient="bottom", columns=2, title=None)
    chart = (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=alt.X("recall:Q", title="recall"),
            y=alt.Y("precision:Q", title="precision, mean over documents", scale=alt.Scale(zero=False)),
            color=alt.Color("method:N", scale=scale, legend=legend),
            strokeDash=alt.StrokeDash("method:N", sort=None, legend=legend),
            tooltip=["method", alt.Tooltip("recall", format=".2f"), alt.Tooltip("precision", format=".3f")],
        )
    )
    st.caption("Interpolated: the best precision of a threshold with at least that recall.")
    st.altair_chart(chart.properties(height=420), alt="Precision over recall of each method")


def layers(run: Opened) -> None:
    """The share of the pieces that each layer processes."""
    st.subheader("What is left in each layer")
    base = alt.Chart(overview.layers(run.figures)).encode(
        x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("share:Q", title="share of the pieces processed", scale=alt.Scale(domain=[0, 1])),
    )
    marks = base.mark_bar(color=COLOURS[0]) + base.mark_text(dy=-8, color="gray").encode(
        text=alt.Text("share:Q", format=".0%")
    )
    st.altair_chart(marks.properties(height=380), alt="Share of the pieces that each layer processes")


def trade_off(current: str) -> None:
    """Speed, accuracy and plausibility of this run and of others."""
    st.subheader("Speed, accuracy, plausibility")
    others = [name for name, source in known_sources().items() if source.folder is not None]
    chosen = st.multiselect("Runs", others, [current] if current in others else [], key=f"scatter_{current}")
    runs = []
    for name in chosen:
        try:
            runs.append(opened(name))
        except UserError as error:
            st.warning(as_text(str(error)))
    table = overview.trade_off(runs)
    if table.empty:
        return
    legend = alt.Legend(
        orient="bottom", columns=2, labelLimit=260, symbolFillColor="#7f7f7f", symbolStrokeColor="#7f7f7f"
    )
    base = alt.Chart(table).encode(
        x=alt.X("speedup:Q", title="times fewer FLOPs", scale=alt.Scale(domainMin=0.5, padding=20)),
        y=alt.Y("accuracy:Q", scale=alt.Scale(zero=False, padding=20), axis=alt.Axis(format=".3f")),
        color=alt.Color("run:N", scale=alt.Scale(range=COLOURS), legend=legend),
        shape=alt.Shape("model:N", sort=None, legend=legend),
        tooltip=["run", "model", *(alt.Tooltip(name, format=".3f") for name in ("speedup", "accuracy", "token_f1"))],
    )
    scale = alt.Scale(domain=[0, 1], range=[60, 900])
    size = alt.Size("token_f1:Q", title="token F1 of the kept words", scale=scale, legend=legend)
    # Without removal nothing is kept or dropped: those points have no plausibility, and one size.
    plain = base.transform_filter("!isValid(datum.token_f1)").mark_point(filled=False, size=120, strokeWidth=2)
    sized = base.transform_filter("isValid(datum.token_f1)").mark_point(filled=True, opacity=0.9).encode(size=size)
    chart = plain + sized
    st.altair_chart(chart.properties(height=340), alt="Accuracy over speedup; size is agreement with people")


def documents(run: Opened) -> None:
    """The documents, those worth a look first; choosing one opens it."""
    assert run.table is not None
    st.subheader("Documents")
    methods = list(dict.fromkeys(run.table["method"]))
    left, right = st.columns(2)
    method = left.selectbox("Method", methods, format_func=lambda name: titles().get(name, name), key="of_method")
    order = right.selectbox("First", list(overview.ORDERS), key="order")
    rows = overview.documents(run.table, str(method), str(order))
    numbers = {
        name: st.column_config.NumberColumn(name, format="%.3f") for name in ("fpr", "token_f1", "average_precision")
    }
    wrong = {"wrong": st.column_config.CheckboxColumn("wrong")}
    key = f"documents_{run.name}_{method}_{order}"
    picked = pick_row(rows, key, "The run's documents", column_config=wrong | numbers)
    if picked is not None:
        link.later("source", run.name)
        link.later("doc", str(rows.loc[picked, "annotation_id"]))
        st.switch_page(st.session_state["pages"]["document"])
    st.caption("Choose a row to open the document.")
