/** The chart library, which the daemon serves beside these files as uplot.js. */
export { default } from 'uplot';
