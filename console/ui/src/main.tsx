import 'uplot/dist/uPlot.min.css';
import './style/tokens.css';
import './style/shell.css';
import './style/parts.css';
import './style/line.css';
import './style/fleet.css';
import './style/asset.css';
import './style/training.css';
import './style/sql.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { connect } from './state/feed.ts';
import { startLine } from './state/line.ts';
import { startTraining } from './state/training.ts';

startLine();
startTraining();
connect();
render(<App />, document.getElementById('app')!);
