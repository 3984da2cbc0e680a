# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The style sheet of a report: light and dark, wide, narrow and on paper."""

STYLE = """
:root{color-scheme:light dark;--back:#f4f6f8;--card:#fff;--ink:#1c2330;--dim:#5b6675;--line:#dde3ea;--good:#1a7f37;
--good-back:#dcf5e3;--bad:#c02a2a;--bad-back:#fde8e8;--warn:#8a5a00;--warn-back:#fdf0d0;--data:#0b63c5;
--data-back:#dbeafe;--other:#6f5bd0}
@media(prefers-color-scheme:dark){:root{--back:#0e1217;--card:#171d25;--ink:#e8edf4;--dim:#9aa6b6;--line:#2b343f;
--good:#4cc26b;--good-back:#12331d;--bad:#ff7b72;--bad-back:#3f1a1c;--warn:#e3b341;--warn-back:#3a2d0c;--data:#58a6ff;
--data-back:#15304f;--other:#a594f9}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1240px;margin:0 auto;padding:28px 20px 40px}
header{display:flex;flex-wrap:wrap;gap:8px 20px;align-items:center;margin-bottom:18px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 12px}
.sub{color:var(--dim);width:100%;margin:0;overflow-wrap:anywhere}
.verdict{font-weight:600;border-radius:20px;padding:3px 14px}
.verdict.good,.state.good{background:var(--good-back);color:var(--good)}
.verdict.bad,.state.bad{background:var(--bad-back);color:var(--bad)}
.verdict.warn,.state.warn{background:var(--warn-back);color:var(--warn)}
.state.plain{background:var(--line);color:var(--dim)}
.state{display:inline-block;border-radius:12px;padding:0 9px;font-size:13px;font-weight:600;white-space:nowrap}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:16px}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:12px 16px}
.tile b{display:block;font-size:20px;font-weight:650;line-height:1.25;overflow-wrap:anywhere}
.tile span{color:var(--dim);font-size:13px}
.tile b span{font-size:inherit}
.tile b .bad{color:var(--bad)}
section{padding:18px 20px;margin-bottom:16px}
.lead{color:var(--dim);margin:-6px 0 12px}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-size:12px;font-weight:600;color:var(--dim);text-transform:uppercase;letter-spacing:.04em}
th,td{padding:7px 12px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
th.n,td.n{text-align:right;white-space:nowrap}
th:last-child,td:last-child{padding-right:0}
td.t{white-space:nowrap}
td.name{font-weight:600;overflow-wrap:break-word}
tr.part td.name{font-weight:400;padding-left:18px}
td.wide{overflow-wrap:break-word;color:var(--dim);min-width:180px}
td.wide.empty{color:transparent}
.late{color:var(--bad);font-weight:600}
.failure{border-left:4px solid var(--bad);background:var(--bad-back);border-radius:6px;padding:10px 14px;
margin-bottom:10px}
.failure b{margin-right:8px}
.failure p{margin:2px 0 0;overflow-wrap:anywhere}
.failure span{color:var(--dim);font-size:13px}
pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{margin:8px 0 0;padding:10px 12px;border-radius:6px;background:var(--back);border:1px solid var(--line);
white-space:pre-wrap;overflow-wrap:anywhere}
.command{margin-top:12px}
.notes{margin:0;padding-left:20px}
.notes li{overflow-wrap:anywhere}
.scroll{overflow-x:auto}
.scroll>svg{min-width:640px}
.curves svg{max-width:360px}
svg{display:block;width:100%;height:auto}
svg text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
svg .dim{fill:var(--dim);font-size:12px}
svg .code{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
svg .strong{font-weight:600}
svg .box{fill:var(--back);stroke:var(--line)}
svg .box.bad{fill:var(--bad-back);stroke:var(--bad)}
svg .axis{stroke:var(--line);stroke-width:1}
svg .bar{fill:var(--data)}
svg .bar.odd{fill:var(--other)}
svg .inside{fill:var(--card);font-weight:600;font-size:12px}
svg .arrow{stroke:var(--data);stroke-width:3}
svg .head{fill:var(--data)}
svg .arrow.bad{stroke:var(--bad);stroke-dasharray:6 4}
svg .head.bad{fill:var(--bad)}
svg .area{fill:var(--data-back)}
svg .curve{fill:none;stroke:var(--data);stroke-width:2;stroke-linejoin:round}
svg .track{fill:var(--line)}
svg .used{fill:var(--data)}
svg .used.bad{fill:var(--bad)}
.fill{display:block;width:110px}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:18px}
figure{margin:0}
figcaption{font-weight:600;overflow-wrap:anywhere}
figcaption span{display:block;color:var(--dim);font-weight:400;font-size:13px}
.chain{margin-bottom:14px}
.chain svg{width:auto;max-width:100%;min-width:0}
footer{color:var(--dim);font-size:13px;text-align:center}
@media screen and (max-width:700px){
main{padding:16px 12px 30px}
h1{font-size:22px}
section{padding:14px}
.tiles{grid-template-columns:repeat(2,1fr)}
table,tbody,tr,td{display:block;width:100%}
thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{border-bottom:1px solid var(--line);padding:8px 0}
tr:last-child{border-bottom:0}
td,td.n,td.t,td.wide{min-width:0;display:flex;justify-content:space-between;gap:16px;text-align:right;white-space:normal;
border:0;padding:2px 0}
td::before{content:attr(data-label);color:var(--dim);font-weight:400;text-align:left;flex:none}
td,td.name{overflow-wrap:anywhere}
td.name{font-size:16px;text-align:left;justify-content:flex-start}
td.name::before,td.empty{display:none}
.chain{overflow-x:auto}
.chain svg{max-width:none}
}
@media print{
:root{--back:#fff;--card:#fff;--ink:#000;--dim:#444;--line:#bbb;--good:#14682c;--good-back:#e3f4e8;--bad:#a11;
--bad-back:#fbeaea;--warn:#6b4500;--warn-back:#faf0d8;--data:#0b57ad;--data-back:#dce9f9;--other:#5a48b5}
body{font-size:11px;print-color-adjust:exact;-webkit-print-color-adjust:exact}
main{max-width:none;padding:0}
section,.tile{border-radius:4px;padding:8px 10px;margin-bottom:10px}
h1{font-size:20px}
h2{font-size:13px;margin-bottom:6px}
th,.tile span,figcaption span,.failure span,footer{font-size:9px}
.tiles{grid-template-columns:repeat(6,1fr);gap:6px;margin:0}
.tile b{font-size:14px}
th,td{padding:3px 8px 3px 0}
td.wide{min-width:0;overflow-wrap:anywhere}
.state,pre,code{font-size:10px}
.curves{grid-template-columns:repeat(3,1fr)}
tr,figure,.failure,.chain,.tile{break-inside:avoid}
h2{break-after:avoid}
.scroll{overflow:visible}
}
@page{margin:14mm}
"""
